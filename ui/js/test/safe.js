// Steps about what a browser lets the panel do: its policy, and that nothing else is run.
import assert from "node:assert/strict";
import { until } from "./driver.js";

export async function safe({ browser, step, address }) {
  await step("the policy lets no script run but the panel's own", async () => {
    const answer = await fetch(`${address}/servers`, { headers: { accept: "text/html" } });
    const policy = new Map(answer.headers.get("content-security-policy").split(";").map((it) => {
      const [name, ...sources] = it.trim().split(/\s+/);
      return [name, sources];
    }));
    assert.deepEqual(policy.get("default-src"), ["'none'"]);
    assert.deepEqual(policy.get("script-src").toSorted(), ["'self'", "'wasm-unsafe-eval'"]);
    for (const [name, sources] of policy) {
      assert.ok(!sources.includes("'unsafe-eval'"), name);
      // Sizes and places that xterm and the charts set.
      if (name !== "style-src") assert.ok(!sources.includes("'unsafe-inline'"), name);
      assert.ok(!sources.some((it) => /^(\*|https?:|blob:)/.test(it)), `${name} ${sources.join(" ")}`);
    }
    for (const name of ["base-uri", "form-action", "frame-ancestors"]) assert.ok(policy.has(name), name);
    assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
  });

  await step("what is put into the page runs nothing", async () => {
    await browser.go(`${address}/account`);
    await browser.find("//h1");
    await browser.run(`
      window.hit = undefined;
      const script = document.createElement("script");
      script.textContent = "window.hit = 'inline'";
      document.body.append(script);
      const picture = document.createElement("div");
      picture.innerHTML = "<img src=x onerror=\\"window.hit = 'handler'\\"><a href=\\"javascript:window.hit = 'link'\\">x</a>";
      document.body.append(picture);
      picture.querySelector("a").click();
      document.body.append(Object.assign(document.createElement("script"), { src: "https://example.org/x.js" }));`);
    // The browser tells each that it stopped.
    const told = [];
    await until("all that was stopped", async () => {
      told.push(...await browser.complaints());
      return told.filter((it) => /Content Security Policy/.test(it)).length >= 4;
    });
    assert.equal(await browser.run("return window.hit ?? null"), null);
    await browser.go(`${address}/account`);
    await browser.complaints();
  });
}

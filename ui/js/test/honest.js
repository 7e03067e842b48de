// Steps about honesty: what is old is grey and says how old, what could not be read says so, and what was done for
// several servers says for which.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { asker } from "./api.js";
import { pause, until } from "./driver.js";
import { asRoot } from "./machine.js";

// A line that is dead and not closed is noticed after 30 s of silence.
const SILENT_MS = 30_000;
const LOST_MS_MAX = 60_000;
const LIMITS = { memory_mib: 64, swap_mib: 0, cpu_millicores: 200, disk_mib: 64, pids: 32 };
const QUIET = { format: "MAMBA_v1", key: "quiet", name: "Quiet game", description: "", images: [{ label: "Probe", image: "mamba/probe:1" }],
  startup: "exec sleep 3600", done: [], stop: "SIGKILL", stop_grace_ms: 1_000, ports: [], capabilities: [], variables: [], config_files: [] };

// Runs in the page, before the panel: there is no live feed, so that the page asks often; what `window.broken` names is
// answered as if the hub had made a mistake, and `window.sent` keeps what was sent.
function trouble() {
  const ask = window.fetch;
  window.sent = [];
  window.fetch = async (target, init) => {
    if (init?.body) window.sent.push({ target, body: init.body });
    if (window.broken === undefined || new URL(target, location.href).pathname !== window.broken) return ask(target, init);
    const problem = { type: "about:blank", title: "mistake", status: 500, code: "internal", detail: "", request_id: "r-1", errors: [] };
    return new Response(JSON.stringify(problem), { status: 500, headers: { "content-type": "application/problem+json" } });
  };
  const Socket = window.WebSocket;
  window.WebSocket = class extends Socket {
    constructor(target, ...rest) {
      super(target, ...rest);
      if (target.includes("feed")) this.addEventListener("open", () => this.close());
    }
  };
}

// Runs in the page, before the panel: wishes for servers are held until they are let go.
function slow() {
  const ask = window.fetch;
  window.held = [];
  window.fetch = async (target, init) => {
    if (new URL(target, location.href).pathname.endsWith("/power")) await new Promise((go) => window.held.push(go));
    return ask(target, init);
  };
}

// Plays with a server that runs; `edge` is the process of its node's daemon.
export async function honest({ browser, step, address, folder, admin, password, server, edge }) {
  const ask = await asker(address, admin, password);
  const path = `/servers/${server.id}`;
  const words = (selector) => browser.run("return [...document.querySelectorAll(arguments[0])].map((it) => it.textContent)", selector);
  const row = (name) => browser.run("return document.evaluate(`//tr[.//td/a[.='${arguments[0]}']]`, document, null, 9).singleNodeValue?.textContent ?? ''", name);
  // Colours of badges that are not that of what is grey.
  const colourful = () => browser.run(`
    const probe = document.createElement("i");
    probe.style.color = "var(--muted)";
    document.querySelector("main").append(probe);
    const grey = getComputedStyle(probe).color;
    probe.remove();
    return [...document.querySelectorAll("main :is(.badge, .fresh)")].filter((it) => it.checkVisibility() && getComputedStyle(it).color !== grey).map((it) => it.textContent);`);
  const { limits } = await ask("GET", path);

  await step("the list tells how much memory is used, and follows what changes of a server", async () => {
    await browser.go(`${address}/servers`);
    await until("the use of memory", async () => /\d+(\.\d+)? MiB of \d/.test(await row(server.name)));
    await ask("PATCH", `${path}/limits`, { limits: { ...limits, memory_mib: limits.memory_mib + 512 } });
    const told = (mib) => (mib % 1024 === 0 ? `of ${mib / 1024} GiB` : `of ${mib < 1024 ? `${mib} MiB` : `${+(mib / 1024).toFixed(1)} GiB`}`);
    await until("the new limit", async () => (await row(server.name)).includes(told(limits.memory_mib + 512)));
    await ask("PATCH", `${path}/limits`, { limits });
    await until("the old limit", async () => (await row(server.name)).includes(told(limits.memory_mib)));
  });

  await step("what could not be read again says why and how old it is, and is grey", async () => {
    const forget = await browser.prepare(trouble);
    await browser.go(`${address}${path}/activity`);
    await browser.find("//div[@class='server-line']//span[.='Running']");
    assert.notDeepEqual(await colourful(), []);
    await browser.run("window.broken = arguments[0]", `/api/v1${path}`);
    await browser.find("//div[@class='notice'][contains(., 'The hub made a mistake') and contains(., 'as it was')]//time");
    assert.deepEqual((await colourful()).filter((it) => it === "Running"), []);
    assert.match((await words(".server-line .fresh")).join(), /^As of /, "nothing is called live that was not read");
    await browser.views(folder, "stale-server");
    await browser.run("window.broken = undefined");
    await until("that it is fresh again", async () => (await browser.run("return document.querySelector('.known[data-old]')")) === null);
    assert.notDeepEqual(await colourful(), []);
    assert.deepEqual(await words(".server-line .fresh"), ["Live"]);
    await forget();
  });

  await step("only what was changed is sent", async () => {
    const forget = await browser.prepare(trouble);
    await browser.go(`${address}${path}/settings`);
    const save = () => browser.click("//form[.//input[@name='description']]//button[@type='submit']");
    await save();
    await browser.text("Nothing was changed");
    // Somebody else gives it a description meanwhile.
    await ask("PATCH", path, { description: "By somebody else" });
    const name = await browser.find("//input[@name='name']");
    await browser.type(name, "-2");
    await save();
    await browser.text("Saved");
    const sent = await browser.run("return window.sent.filter((it) => it.target.startsWith('/api/v1/servers/') && it.body.includes('name')).map((it) => it.body)");
    assert.deepEqual(sent.map((it) => JSON.parse(it)), [{ name: `${server.name}-2` }]);
    assert.equal((await ask("GET", path)).description, "By somebody else");
    // Limits go as a whole: with what another set in the fields that nobody touched.
    await ask("PATCH", `${path}/limits`, { limits: { ...limits, pids: limits.pids + 7 } });
    await pause(3_000);
    await browser.type(browser.find("//input[@name='limits.disk_mib']"), "0");
    await browser.click("//form[.//input[@name='limits.disk_mib']]//button[@type='submit']");
    await browser.text("The node takes it over");
    const now = await ask("GET", path);
    assert.deepEqual([now.limits.disk_mib, now.limits.pids], [limits.disk_mib * 10, limits.pids + 7]);
    await ask("PATCH", `${path}/limits`, { limits });
    await ask("PATCH", path, { name: server.name, description: "" });
    await forget();
  });

  await step("several are acted upon at once: those in sight, each with what came of it", async () => {
    const { node, tenant } = await ask("GET", path);
    const { items } = await ask("GET", "/blueprints?limit=200");
    if (!items.some((it) => it.blueprint === "quiet")) await ask("POST", "/blueprints", { content: JSON.stringify(QUIET) });
    const made = [];
    for (const name of ["row-one", "row-two"]) {
      made.push((await ask("POST", "/servers", { name, tenant, node, blueprint: "quiet", limits: LIMITS })).server);
    }
    const [one, two] = made;
    const asked = async (id) => (await ask("GET", `/servers/${id}/intents`)).items.length;
    await browser.go(`${address}/servers`);
    for (const name of ["row-one", "row-two"]) await browser.click(`//tr[.//td/a[.='${name}']]//input[@type='checkbox']`);
    await browser.text("2 selected");
    const filter = browser.find("//input[@type='search']");
    await browser.type(filter, "row-one");
    await browser.text("1 selected here, 1 more are hidden and left alone");
    await browser.button("Start");
    await browser.find("//section[contains(@class, 'bulk-report')]//h2[.='Start: 1 of 1 recorded']");
    assert.deepEqual([await asked(one), await asked(two)], [1, 0]);
    // Nothing that is in sight is chosen: nothing can be asked for.
    await browser.find("//div[@class='bulk']//button[normalize-space()='Start'][@disabled]");
    await browser.rewrite(filter, "");
    await ask("POST", `/servers/${two}/suspend`);
    await browser.click("//tr[.//td/a[.='row-one']]//input[@type='checkbox']");
    await browser.text("2 selected");
    await browser.button("Restart");
    await browser.find("//section[contains(@class, 'bulk-report')]//h2[.='Restart: 1 of 2 recorded']");
    await browser.find("//section[contains(@class, 'bulk-report')]//li[contains(., 'row-two')]//span[.='Not recorded']");
    await browser.text("1 selected");
    await browser.refused(403, 409, 422);
    await browser.views(folder, "servers-bulk");
    for (const id of made) await ask("DELETE", `/servers/${id}?after_ms=0&retain_ms=0`);
  });

  await step("many are acted upon some at a time, one sees how far that is, and can leave the rest out", async () => {
    const { node, tenant } = await ask("GET", path);
    const names = Array.from({ length: 6 }, (_, index) => `many-${index}`);
    const made = [];
    for (const name of names) {
      made.push((await ask("POST", "/servers", { name, tenant, node, blueprint: "quiet", limits: LIMITS })).server);
    }
    const forget = await browser.prepare(slow);
    await browser.go(`${address}/servers`);
    for (const name of names) await browser.click(`//tr[.//td/a[.='${name}']]//input[@type='checkbox']`);
    await browser.text("6 selected");
    const held = () => browser.run("return window.held.length");
    await browser.button("Start");
    await browser.text("0 of 6");
    assert.equal(await held(), 4);
    await browser.run("window.held[0]()");
    await browser.text("1 of 6");
    await until("that the next one is asked for", async () => (await held()) === 5);
    await browser.views(folder, "servers-bulk-under-way");
    await browser.button("Leave the rest out");
    await browser.text("2 of 6");
    await browser.run("window.held.forEach((go) => go())");
    const report = "//section[contains(@class, 'bulk-report')]";
    await browser.find(`${report}//h2[.='Start: 5 of 6 recorded']`);
    await browser.find(`${report}//li[contains(., 'many-5')]//span[.='Left out']`);
    await browser.text("1 selected");
    assert.equal(await held(), 5);
    const asked = await Promise.all(made.map(async (id) => (await ask("GET", `/servers/${id}/intents`)).items.length));
    assert.deepEqual(asked, [1, 1, 1, 1, 1, 0]);
    await forget();
    for (const id of made) await ask("DELETE", `/servers/${id}?after_ms=0&retain_ms=0`);
  });

  await step("while the hub is away nothing is green, and one sees since when", async () => {
    await browser.go(`${address}/servers`);
    await browser.find(`//tr[.//td/a[.='${server.name}']]//span[.='Live']`);
    await pause(2_000);
    const session = execFileSync("ps", ["-o", "sess=", "-p", edge], { encoding: "utf8" }).trim();
    const hub = execFileSync("pgrep", ["--session", session, "--exact", "mamba-hub"], { encoding: "utf8" }).trim();
    asRoot("kill", "-STOP", hub);
    const begun = Date.now();
    try {
      while (!(await browser.run("return document.querySelector('main[data-old]') !== null")) && Date.now() - begun < LOST_MS_MAX) await pause(500);
      await browser.text("No answer from the hub.");
      // Counted from its last word, and not from when that was noticed.
      const told = await browser.run("return document.querySelector('main > .notice time').dateTime");
      assert.ok(Math.abs(Date.parse(told) - begun) < SILENT_MS / 2, `${told} is not when it went, ${begun}`);
      assert.deepEqual(await colourful(), []);
      const links = await words(".servers .fresh");
      assert.ok(links.length > 0 && links.every((it) => /^(As of|Delayed|Unreachable|Never)/.test(it)), links.join());
      await browser.views(folder, "hub-away");
    } finally {
      asRoot("kill", "-CONT", hub);
    }
    await browser.find(`//tr[.//td/a[.='${server.name}']]//span[.='Live']`);
    assert.equal(await browser.run("return document.querySelector('[data-old]')"), null);
    // The browser notes what was given up.
    await browser.complaints();
  });
}

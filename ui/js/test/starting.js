// Steps about how a server starts, where a new one fits, what became of a node's link, and what the audit trail tells.
import assert from "node:assert/strict";
import { asker } from "./api.js";
import { until } from "./driver.js";

// Plays with a server of OpenTTD on the demo's node; nobody else changes them meanwhile.
export async function starting({ browser, step, address, folder, admin, password, server }) {
  const ask = await asker(address, admin, password);
  const { node, tenant } = await ask("GET", `/servers/${server.id}`);
  const rewrite = (name, text) => browser.rewrite(browser.find(`//input[@name='${name}']`), text);

  await step("a server's start line and image are told, and changed one by one", async () => {
    const before = await ask("GET", `/servers/${server.id}/startup`);
    await browser.go(`${address}/servers/${server.id}/startup`);
    await browser.find(`//section[header/h2='How it starts']//code[.='${before.line}']`);
    const save = (title) => browser.click(`//section[header/h2='${title}']//button[@type='submit']`);
    await save("How it starts");
    await browser.text("Nothing was changed");
    await rewrite("startup", `${before.template} -Q`);
    await save("How it starts");
    await browser.find(`//section[header/h2='How it starts']//code[.='${before.line} -Q']`);
    await browser.click("//select[@name='auto_start']/option[.='Never']");
    await save("When the node starts");
    await until("that it is kept", async () => (await ask("GET", `/servers/${server.id}/startup`)).auto_start === "never");
    const after = await ask("GET", `/servers/${server.id}/startup`);
    assert.deepEqual([after.image, after.image_is_own, after.template_is_own], [before.image, before.image_is_own, true]);
    await browser.go(`${address}/servers/${server.id}/startup`);
    await until("the choice as it is", () => browser.run("return document.querySelector('select[name=auto_start]')?.value === 'never'"));
    await ask("PATCH", `/servers/${server.id}`, { startup: before.template, auto_start: before.auto_start });
    await browser.go(`${address}/servers/${server.id}/activity`);
    await browser.find("//ol[@class='timeline']//p[.='Changed: When the node starts']");
    await browser.find("//ol[@class='timeline']//p[.='Changed: When the node starts, Start line']");
  });

  await step("a new server is told what is left, and what is too much", async () => {
    await ask("PATCH", `/nodes/${node}`, { settings: { ...(await ask("GET", `/nodes/${node}`)).settings, region: "north" } });
    await ask("POST", `/tenants/${tenant}/quota`, { quota: { memory_mib: 3_072 } });
    try {
      const { quota, used } = await ask("GET", `/tenants/${tenant}/quota`);
      await browser.go(`${address}/servers/new`);
      await browser.click("(//label[@class='pick'])[1]");
      await browser.find("//div[@class='limit'][.//input[@name='limits.memory_mib']]/p[contains(., 'left on the node')]");
      await browser.click(`//select[@name='tenant']/option[@value='${tenant}']`);
      const left = quota.memory_mib - used.memory_mib;
      const hint = "//div[@class='limit'][.//input[@name='limits.memory_mib']]/p";
      await browser.find(`${hint}[contains(., "left of the owner's quota")][not(@data-short)]`);
      await rewrite("limits.memory_mib", `${left + 1}`);
      await browser.find(`${hint}[@data-short='yes']`);
      await rewrite("limits.memory_mib", `${left}`);
      await browser.find(`${hint}[not(@data-short)]`);
      await browser.click("//select[@name='region']/option[.='north']");
      await browser.find("//select[@name='node']/option[.='demo-node']");
      await browser.views(folder, "servers-new-left");
    } finally {
      await ask("POST", `/tenants/${tenant}/quota`, { quota: {} });
      await ask("PATCH", `/nodes/${node}`, { settings: { ...(await ask("GET", `/nodes/${node}`)).settings, region: null } });
    }
  });

  await step("a node tells until when its certificate is good, and when its link was lost and why", async () => {
    const { certificate_until: end } = await ask("GET", `/nodes/${node}/link`);
    assert.ok(end > Date.now());
    await browser.go(`${address}/admin/nodes/${node}`);
    const day = new Date(end).toLocaleDateString("en-GB");
    await browser.find(`//dt[.='Certificate until']/following-sibling::dd[1][contains(., '${day}')]`);
    const { items } = await ask("GET", `/nodes/${node}/link/changes`);
    assert.ok(items.some((it) => it.change === "connected"), JSON.stringify(items));
    for (const { change, detail } of items.slice(0, 3)) {
      const word = change === "connected" ? "Connected" : "Lost";
      await browser.find(`//section[contains(@class, 'link-history')]//tr[.//span[.='${word}'] and td[.="${detail}"]]`);
    }
  });

  await step("the audit trail tells names in the place of ids, and only what changed", async () => {
    await browser.go(`${address}/admin/audit`);
    await browser.type(browser.field("Event begins with"), "node:update");
    const line = "//tr[.//code[.='node:update']]";
    await browser.find(`${line}//dl[@class='changes']/div[dt='region' and dd/ins='north']`);
    await browser.find(`${line}//dl[@class='changes']/div[dt='region' and dd/del='north']`);
    const told = await browser.run("return [...document.querySelectorAll('.changes')].map((it) => it.textContent).join()");
    assert.ok(!told.includes("{") && !told.includes("maintenance"), told);
    await browser.go(`${address}/tenants/${tenant}/audit`);
    await browser.find(`//td//a[@href='/servers/${server.id}' and .='${server.name}']`);
    await browser.views(folder, "audit-changes");
  });
}

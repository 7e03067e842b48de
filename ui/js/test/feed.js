// Steps about what is live: the feed, charts, and a node that is cut off.
import assert from "node:assert/strict";
import { join } from "node:path";
import { asker } from "./api.js";
import { pause, until } from "./driver.js";
import { asRoot } from "./machine.js";

// A link is given up after 45 s of silence.
const SILENT_MS_MAX = 75_000;

// Plays on the page of the server that is shown. `edge` is the process of its node's daemon.
export async function live({ browser, step, address, folder, server, admin, password, edge }) {
  const asked = () => browser.run("return performance.getEntriesByType('resource').filter((it) => it.name.includes('/api/v1/servers/')).length");

  await step("numbers come while somebody looks, and are drawn", async () => {
    await browser.link("Usage");
    await until("the load of the processor", async () => /CPU\s*[\d.]+ %/.test(await browser.word(".gauges")));
    await until("lines on four charts", async () => (await browser.run("return document.querySelectorAll('.drawing canvas').length")) >= 4);
    await browser.click("(//summary[normalize-space()='Show the numbers as a table'])[1]");
    await until("the numbers in words", async () => /MiB/.test(await browser.word(".numbers tbody")));
  });

  await step("a change by somebody else is told, and nothing is asked for meanwhile", async () => {
    const ask = await asker(address, admin, password);
    await browser.run("performance.clearResourceTimings()");
    await pause(8_000);
    const before = await asked();
    assert.ok(before <= 3, `${before} requests in 8 s although the feed tells`);
    const path = `/servers/${server.id}`;
    await ask("PATCH", path, { name: "told-by-the-feed" });
    const changed = Date.now();
    await until("the new name", async () => (await browser.word("h1")) === "told-by-the-feed");
    assert.ok(Date.now() - changed < 3_000, `told after ${Date.now() - changed} ms`);
    await ask("PATCH", path, { name: server.name });
    await until("the old name", async () => (await browser.word("h1")) === server.name);
  });

  await step("a node that is cut off is shown, with ages", async () => {
    asRoot("kill", "-STOP", edge);
    const end = Date.now() + SILENT_MS_MAX;
    while (!/Unreachable, seen/.test(await browser.word(".server-line")) && Date.now() < end) await pause(500);
    assert.match(await browser.word(".server-line"), /Unreachable, seen \d+ (s|min) ago/);
    await browser.text("The node is cut off from the hub.");
    await until("old numbers marked as old", () => browser.run("return document.querySelector('.gauges[data-old]')"));
    await browser.shoot(join(folder, "cut-off-usage.png"));
  });

  await step("what is asked of it waits until it expires, and can be taken back", async () => {
    await browser.button("Restart");
    await until("what waits", async () => /Restart waits for the node\..*Void in \d+ s/s.test(await browser.word(".intents")));
    await browser.shoot(join(folder, "cut-off-pending.png"));
    await browser.button("Take back");
    await browser.text("Taken back; the node never had it");
    await until("nothing that waits", () => browser.run("return document.querySelector('.intents').hidden"));
  });

  await step("it comes back, and so do its numbers", async () => {
    asRoot("kill", "-CONT", edge);
    const end = Date.now() + SILENT_MS_MAX;
    while (!/Live/.test(await browser.word(".server-line")) && Date.now() < end) await pause(500);
    assert.match(await browser.word(".server-line"), /Live/);
    await until("new numbers", () => browser.run("return document.querySelector('.gauges:not([data-old]):not([hidden])')"));
    assert.match(await browser.word(".server-line"), /Running/, "the game went on meanwhile");
  });
}

// Steps about what is live: the feed, charts, and a node that is cut off.
import assert from "node:assert/strict";
import { join } from "node:path";
import { asker } from "./api.js";
import { pause, until } from "./driver.js";
import { asRoot } from "./machine.js";

// A past that no page can have seen itself, and how long a node needs at most to have one.
const PAST_MS = 40_000;
const PAST_MS_MAX = 90_000;
// Runs in the page: how many milliseconds there are between both ends of the line of the second chart, memory.
const drawn = `
  const [, chart] = document.querySelectorAll(".drawing");
  const canvas = chart?.querySelector("canvas");
  if (!canvas?.width) return 0;
  const brush = document.createElement("canvas").getContext("2d");
  brush.fillStyle = getComputedStyle(chart).color;
  brush.fillRect(0, 0, 1, 1);
  const [red, green, blue] = brush.getImageData(0, 0, 1, 1).data;
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const columns = [];
  for (let at = 0; at < data.length; at += 4) {
    const far = Math.max(Math.abs(data[at] - red), Math.abs(data[at + 1] - green), Math.abs(data[at + 2] - blue));
    if (data[at + 3] > 100 && far < 24) columns.push((at / 4) % canvas.width);
  }
  if (columns.length === 0) return 0;
  // Ten minutes lie between the numbers at the left and the right edge.
  const left = 62 * devicePixelRatio;
  return (columns.reduce((a, b) => Math.max(a, b)) - columns.reduce((a, b) => Math.min(a, b))) / (canvas.width - left) * 600_000;`;

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

  await step("charts begin with the minutes before one looked", async () => {
    const ask = await asker(address, admin, password);
    const past = async () => (await ask("GET", `/servers/${server.id}/resources/recent`)).moments;
    // A node looks every ten seconds.
    const end = Date.now() + PAST_MS_MAX;
    let moments = [];
    while (!(Date.now() - moments[0]?.at > PAST_MS) && Date.now() < end) {
      await pause(1_000);
      moments = await past();
    }
    assert.ok(moments.some((it) => it.memory_bytes > 0 && Date.now() - it.at > PAST_MS), JSON.stringify(moments));
    // Loaded anew: this page saw nothing of it.
    const opened = Date.now();
    await browser.go(`${address}/servers/${server.id}/usage`);
    await until("a line of the minute before", async () => (await browser.run(drawn)) > PAST_MS * 0.9);
    assert.ok(Date.now() - opened < PAST_MS / 2, "the page could not have seen that itself");
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

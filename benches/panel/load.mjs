// Measures what the panel's first load costs over a slow link: `node benches/panel/load.mjs ADDRESS [PASSWORD]`
// with the address of a running hub and the password of its admin@hub.example (`scripts/demo` tells both).
//
// A Chromium with an empty cache at 1.6 Mbit/s and 150 ms round trip, its processor slowed four times.
// Prints one JSON object: for the sign-in page, and with a password for the list of servers, the bytes over
// the wire with headers, the time until something useful was painted (a sign-in that takes what is typed; the
// names of servers) and until the panel itself had it; and the bytes of the first page of a server and of
// the administration after it. Says a line on stderr for each. Ends with 1 when a first load, of the sign-in or of
// the list, breaks its limits.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Browser, pause, until } from "../../ui/js/test/driver.js";

const LINK = { down_bits_per_s: 1_600_000, up_bits_per_s: 750_000, round_trip_ms: 150, cpu_slowdown: 4 };
const FIRST_BYTES_MAX = 250 * 1024;
const USEFUL_MS_MAX = 2_000;
const RUNS = 3;
const ADMIN = "admin@hub.example";

// Runs in each page before its own scripts: notes when what each selector names is on the screen. It looks
// only when the page changed: looking at every frame would cost the time that is measured.
function watch(selectors) {
  window.seenAt = {};
  const look = () => {
    for (const [what, selector] of Object.entries(selectors)) {
      if (what in window.seenAt || ![...document.querySelectorAll(selector)].some((it) => it.checkVisibility())) continue;
      window.seenAt[what] = Infinity;
      // The frame after the next begins when this one was painted.
      requestAnimationFrame(() => requestAnimationFrame(() => { window.seenAt[what] = performance.now(); }));
    }
  };
  new MutationObserver(look).observe(document, { childList: true, subtree: true, attributeFilter: ["hidden"] });
  addEventListener("load", look);
}

const BYTES = `
  return [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
    .filter((it) => !it.name.includes("/api/")).reduce((sum, it) => sum + it.transferSize, 0);`;

// Loads a page with an empty cache and returns what it cost; the median of some runs.
async function load(browser, address, useful, ready) {
  const runs = [];
  for (let run = 0; run < RUNS; run += 1) {
    await browser.go("about:blank");
    await browser.devtools("Network.clearBrowserCache");
    const forget = await browser.prepare(watch, { useful, ready });
    await browser.open(address);
    const seen = await until(ready, () => browser.run("return seenAt.useful < Infinity && seenAt.ready < Infinity && seenAt"));
    await pause(500);
    const paint = await browser.run("return performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null");
    runs.push({ bytes: await browser.run(BYTES), first_paint_ms: Math.round(paint),
      useful_ms: Math.round(seen.useful), ready_ms: Math.round(seen.ready) });
    await forget();
  }
  return runs.toSorted((a, b) => a.ready_ms - b.ready_ms)[RUNS >> 1];
}

// What was fetched so far, without the API.
const COUNTS = `
  const files = performance.getEntriesByType("resource").filter((it) => !it.name.includes("/api/"));
  return { requests: files.length, bytes: files.reduce((sum, it) => sum + it.transferSize, 0) };`;

async function signIn(browser, password) {
  await browser.type(browser.field("E-mail address"), ADMIN);
  await browser.type(browser.field("Password"), password);
  await browser.button("Sign in");
  await browser.find("//tbody//a");
}

async function measure(browser, address, password) {
  await browser.size(1440, 900);
  await browser.devtools("Network.enable");
  await browser.devtools("Network.emulateNetworkConditions", {
    offline: false, latency: LINK.round_trip_ms,
    downloadThroughput: LINK.down_bits_per_s / 8, uploadThroughput: LINK.up_bits_per_s / 8,
  });
  await browser.devtools("Emulation.setCPUThrottlingRate", { rate: LINK.cpu_slowdown });
  const result = { what: "panel load", link: LINK, sign_in: await load(browser, `${address}/sign-in`, "input[type=password]", "#field-password") };
  if (password === undefined) return result;
  await signIn(browser, password);
  result.servers = await load(browser, `${address}/servers`, "tbody a", "tbody a");
  const later = async (click, found) => {
    const before = await browser.run(COUNTS);
    await browser.click(click);
    await browser.find(found);
    const after = await browser.run(COUNTS);
    return { bytes: after.bytes - before.bytes, requests: after.requests - before.requests };
  };
  result.server_page = await later("//tbody//a", "//section[contains(@class, 'console')]");
  result.admin_page = await later("//a[@href='/admin']", "//main//h1");
  return result;
}

const [address, password] = process.argv.slice(2);
if (address === undefined) {
  console.error("usage: node benches/panel/load.mjs ADDRESS [PASSWORD]");
  process.exit(2);
}
const folder = mkdtempSync(join(tmpdir(), "panel-load-"));
const browser = await Browser.start(folder);
try {
  const result = await measure(browser, address, password);
  console.log(JSON.stringify(result));
  for (const [what, { bytes, useful_ms: useful, ready_ms: ready }] of Object.entries({ "sign-in": result.sign_in, ...(result.servers && { servers: result.servers }) })) {
    console.error(`panel: ${what} ${Math.ceil(bytes / 1024)} KiB, useful after ${useful} ms, ready after ${ready} ms at 1.6 Mbit/s, 150 ms, CPU / 4`);
    if (bytes > FIRST_BYTES_MAX || useful > USEFUL_MS_MAX) process.exitCode = 1;
  }
} finally {
  await browser.stop();
  rmSync(folder, { recursive: true, force: true });
}

// The panel in a real browser, on a real hub with a real edge and a real game server:
// `node journey.js ADDRESS PASSWORD FOLDER EDGE`, where EDGE is the process of the node's daemon. Ends `N passed, M failed`; pictures go into FOLDER.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { administration } from "./admin.js";
import { crowd } from "./crowd.js";
import { Browser, until } from "./driver.js";
import { live } from "./feed.js";
import { flood } from "./flood.js";
import { honest } from "./honest.js";
import { keys } from "./keys.js";
import { needs } from "./needs.js";
import { safe } from "./safe.js";
import { starting } from "./starting.js";
import { tabs, walk } from "./tabs.js";
import { terminal } from "./terminal.js";

const [address, password, folder, edge] = process.argv.slice(2);
const ADMIN = "admin@hub.example";
const SERVER = "demo-openttd";
const ESCAPE = "\uE00C";

mkdirSync(folder, { recursive: true });
const browser = await Browser.start(folder);
let passed = 0;
let failed = 0;

async function step(name, play) {
  try {
    await play();
    assert.deepEqual(await browser.complaints(), [], "the page's console");
    passed += 1;
    console.log(`ok      ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${name}: ${error.message}`);
    await browser.keep(join(folder, `failed-${failed}.png`)).catch(() => {});
  }
}

await browser.size(1440, 900);

await step("who is not signed in is asked to, and led on afterwards", async () => {
  await browser.go(`${address}/servers`);
  await browser.field("Password");
  assert.match(await browser.run("return location.search"), /to=%2Fservers/);
  await browser.shoot(join(folder, "sign-in.png"));
});

await step("a wrong password is told without a word on which of the two is wrong", async () => {
  await browser.signIn(ADMIN, "wrong password, surely");
  await browser.find("//*[@role='alert'][contains(., 'The address or the password is wrong.')]");
  await browser.refused(401);
  await browser.go(`${address}/servers`);
});

await step("the right one shows the servers", async () => {
  await browser.signIn(ADMIN, password);
  await browser.link(SERVER);
  await browser.text("Running");
});

await step("the session outlives a reload, and no script can read its cookie", async () => {
  await browser.go(`${address}/servers`);
  await browser.find(`//a[normalize-space()='${SERVER}']`);
  assert.equal(await browser.run("return document.cookie"), "");
});

await step("the console shows what the game says", async () => {
  await browser.link(SERVER);
  await browser.text("Connected");
  const screen = () => browser.run("return document.querySelector('.xterm-rows')?.textContent ?? ''");
  await until("lines of the game", async () => (await screen()).trim().length > 0);
});

const server = { id: (await browser.path()).split("/")[2], name: SERVER };
await terminal({ browser, step, address, folder, server });

await step("a restart is pending until the node has it, and comes back", async () => {
  await browser.link("Activity");
  await browser.button("Restart");
  await browser.text("Restart accepted by the node").catch(() => browser.go(`${address}/servers`));
  await browser.go(`${address}/servers`);
  await browser.link(SERVER);
  await browser.link("Activity");
  await browser.text("Restart accepted by the node");
});

await live({ browser, step, address, folder, server, admin: ADMIN, password, edge });

await step("a variable that breaks its rule is told while it is typed", async () => {
  await browser.link("Start-up");
  await browser.type(browser.field("Players"), "x");
  await browser.find("//input[@aria-invalid='true']");
});

await step("what a server is for is written down", async () => {
  await browser.link("Settings");
  await browser.type(browser.field("Description"), "Seen <b>as text</b>");
  await browser.click("(//button[@type='submit'])[1]");
  await browser.text("Saved");
});

await step("the deletion wants the name typed", async () => {
  await browser.button("Delete the server");
  await browser.find("//dialog[@open]");
  await browser.type(browser.field("Name of the server"), "wrong");
  await browser.click("//dialog//button[@type='submit']");
  await browser.find("//dialog[@open]");
  await browser.type(browser.field("Name of the server"), ESCAPE);
  await browser.closed();
});

await starting({ browser, step, address, folder, admin: ADMIN, password, server });
await honest({ browser, step, address, folder, admin: ADMIN, password, server, edge });
const administrated = await administration({ browser, step, address, folder, admin: ADMIN, password });
await needs({ browser, step, address, folder, admin: ADMIN, password, beside: SERVER });

const pages = { servers: "/servers", "servers-new": "/servers/new", account: "/account", nothing: "/nothing" };
Object.assign(pages, administrated);
for (const tab of ["console", "usage", "startup", "network", "files", "backups", "schedules", "people", "activity", "settings"]) {
  pages[`server-${tab}`] = `/servers/${server.id}/${tab}`;
}

await step("every page in both themes and three widths", () => browser.gallery(address, folder, pages));
await walk({ browser, step, address, pages, which: "servers and administration" });
await tabs({ browser, step, address, dialog: { path: "/account/keys", button: "New API key" } });
await safe({ browser, step, address });
await keys({ browser, step, address, folder, name: SERVER });
await crowd({ browser, step, address });
await flood({ browser, step, address, name: SERVER });

await step("after signing out nothing is left", async () => {
  await browser.go(`${address}/account`);
  await browser.signOut();
  await browser.go(`${address}/servers`);
  await browser.field("Password");
});

await browser.stop();
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

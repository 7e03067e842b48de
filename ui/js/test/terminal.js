// Steps in a server's console: the game answers, what it said is searched and copied, what was typed comes back, and
// lines that are missing are told.
import assert from "node:assert/strict";
import { until } from "./driver.js";

const [ENTER, UP, DOWN] = ["\uE007", "\uE013", "\uE015"];

// Runs in the page, before the panel: `window.told` gives the console what the hub could have said.
function overhear() {
  const Socket = window.WebSocket;
  window.WebSocket = class extends Socket {
    constructor(target, ...rest) {
      super(target, ...rest);
      if (!target.includes("console")) return;
      window.told = (message) => this.dispatchEvent(new MessageEvent("message", { data: JSON.stringify(message) }));
    }
  };
}

// Plays with a server of OpenTTD that runs.
export async function terminal({ browser, step, address, folder, server }) {
  const screen = () => browser.run("return document.querySelector('.xterm-rows')?.textContent ?? ''");
  const field = () => browser.find("//input[@name='command']");
  const typed = () => browser.run("return document.querySelector('input[name=command]').value");
  const marked = () => browser.run("return document.querySelectorAll('.xterm-selection div').length");
  const search = () => browser.find("//form[@role='search']//input");
  const forget = await browser.prepare(overhear);

  await step("a command is answered by the game, and comes back under the arrow keys", async () => {
    await browser.go(`${address}/servers/${server.id}/console`);
    await browser.text("Connected");
    await browser.type(field(), `getsysdate${ENTER}`);
    // What was typed is `getsysdate`: only the game writes this.
    await until("the answer", async () => /System Date: \d{4}-\d{2}-\d{2}/.test((await screen()).replaceAll("\u00a0", " ")));
    await browser.type(field(), `getdate${ENTER}`);
    await until("the next answer", async () => /Date: \d{4}-\d{2}-\d{2}.*Date: \d{4}-\d{2}-\d{2}/s.test((await screen()).replaceAll("\u00a0", " ")));
    await browser.type(field(), UP);
    assert.equal(await typed(), "getdate");
    await browser.type(field(), UP);
    assert.equal(await typed(), "getsysdate");
    await browser.type(field(), DOWN);
    assert.equal(await typed(), "getdate");
    await browser.type(field(), DOWN);
    assert.equal(await typed(), "");
  });

  await step("what the game said is found, and a word that it never said is not", async () => {
    assert.equal(await marked(), 0);
    await browser.type(search(), `System Date${ENTER}`);
    await until("a mark", marked);
    assert.equal(await browser.run("return document.querySelector('.console-none').textContent"), "");
    await browser.type(search(), ` of nobody${ENTER}`);
    await browser.find("//*[@class='console-none'][.='Not found']");
    await browser.views(folder, "server-console-search");
  });

  await step("what is marked is copied, or all of it", async () => {
    await browser.run("navigator.clipboard.writeText = async (text) => { window.copied = text; }");
    const copy = () => browser.click("//div[@class='console-bar']//button[contains(., 'Copy')]");
    await browser.rewrite(search(), `System Date${ENTER}`);
    await until("a mark", marked);
    await copy();
    await until("that it is copied", () => browser.run("return window.copied"));
    assert.equal(await browser.run("return window.copied"), "System Date");
    await browser.find("//button[contains(., 'Copied')]");
    await browser.run("window.copied = undefined");
    await browser.button("Clear");
    await browser.type(field(), `getsysdate${ENTER}`);
    await until("the answer", async () => (await screen()).includes("Date:"));
    await browser.find("//div[@class='console-bar']//button[contains(., 'Copy')]");
    await copy();
    const all = await until("that all is copied", () => browser.run("return window.copied"));
    assert.match(all, /› getsysdate\n(.*\n)*.*System Date: /);
  });

  await step("lines that were not kept are told where they are missing", async () => {
    await browser.run("window.told({ gap: { first: 1, count: 321 } })");
    await until("the gap", async () => (await screen()).includes("321"));
    assert.match((await screen()).replaceAll("\u00a0", " "), /-- 321 lines were not kept for this reader --/);
    await browser.views(folder, "server-console-gap");
  });

  await forget();
}

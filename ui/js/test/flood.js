// Steps with a console that gets 5,000 lines a second: one can type, and is told what was skipped.
import assert from "node:assert/strict";
import { median, until } from "./driver.js";

const LINES_A_SECOND = 5_000;
// A letter is on the screen within this after its key.
const INPUT_MS_MAX = 100;
const KEYS = 40;
// The one in the middle of so many runs is judged; the best is told beside it.
const RUNS = 3;

// Runs in the page, before the panel: once a console has caught up, lines come as if the hub had sent them.
// `window.flood` is how many a second; in bursts, as a network brings them.
function pour(burstMs) {
  const Socket = window.WebSocket;
  window.flood = 0;
  window.poured = 0;
  window.WebSocket = class extends Socket {
    constructor(target, ...rest) {
      super(target, ...rest);
      if (!target.includes("console")) return;
      window.pour = (count) => {
        const at = Date.now();
        const lines = Array.from({ length: count }, () => {
          window.poured += 1;
          return { n: 1e9 + window.poured, at, source: "stdout", text: `\u001b[32m[${at}]\u001b[0m Player ${window.poured} moved to 12.5, 64, -3.25 <b>&` };
        });
        this.dispatchEvent(new MessageEvent("message", { data: JSON.stringify({ lines }) }));
      };
      const timer = setInterval(() => {
        if (this.readyState === Socket.OPEN && window.flood > 0) window.pour(Math.round(window.flood * burstMs / 1000));
      }, burstMs);
      this.addEventListener("close", () => clearInterval(timer));
    }
  };
}

// Runs in the page: presses keys in the prompt and returns how long until the frame after each was drawn.
const TYPE = `
  const [keys, done] = arguments;
  const field = document.querySelector("input[name=command]");
  const spent = [];
  const press = () => {
    const due = performance.now() + 60;
    setTimeout(() => {
      field.value += "x";
      field.dispatchEvent(new Event("input", { bubbles: true }));
      requestAnimationFrame(() => setTimeout(() => {
        // From when it was due: a page that is busy takes the key late.
        spent.push(performance.now() - due);
        if (spent.length < keys) press(); else done(spent);
      }));
    }, 60);
  };
  press();`;

export async function flood({ browser, step, address, name }) {
  const screen = () => browser.run("return document.querySelector('.xterm-rows')?.textContent ?? ''");
  const forget = await browser.prepare(pour, 50);

  await step("a console at 5,000 lines a second takes keys at once and says what it skips", async () => {
    await browser.go(`${address}/servers`);
    await browser.link(name);
    await browser.text("Connected");
    await browser.run("window.flood = arguments[0]", LINES_A_SECOND);
    await until("the flood", async () => (await screen()).includes("Player"));
    const [rates, usual, slow] = [[], [], []];
    for (let run = 0; run < RUNS; run += 1) {
      const begun = await browser.run("return [performance.now(), window.poured]");
      const spent = (await browser.ask("POST", "/execute/async", { script: TYPE, args: [KEYS] })).toSorted((a, b) => a - b);
      const [now, poured] = await browser.run("return [performance.now(), window.poured]");
      rates.push(Math.round((poured - begun[1]) / (now - begun[0]) * 1000));
      usual.push(Math.round(spent[KEYS >> 1]));
      slow.push(Math.round(spent[Math.floor(KEYS * 0.95)]));
    }
    console.log(`        median of ${RUNS} runs: ${median(rates)} lines a second, a key ${median(usual)} ms, one in twenty `
      + `${median(slow)} ms (best run ${Math.min(...slow)} ms)`);
    assert.ok(median(rates) > LINES_A_SECOND * 0.8, `only ${median(rates)} lines a second came`);
    assert.ok(median(slow) < INPUT_MS_MAX, `one key in twenty took ${median(slow)} ms`);
    // At once, 2,000 more lines than wait for the screen.
    await browser.run("window.flood = 0; window.pour(6000)");
    await until("the count of what was skipped", async () => {
      const [, skipped = "0"] = /(\d+) lines came too fast to show/.exec(await screen()) ?? [];
      return Number(skipped) >= 2_000;
    });
  });

  await forget();
}

// One headless Chromium, driven over WebDriver.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { basename, join } from "node:path";

const WAIT_MS_MAX = 30_000;
const PAUSE_MS = 100;
// A phone, a tablet, a desk.
const WIDTHS = [390, 820, 1440];
// Of a picture: longer pages are lists that go on in the same way.
const HEIGHT_MAX = 4_000;
const ELEMENT = "element-6066-11e4-a52e-4f735466cecf";
const BACKSPACE = "\uE003";
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
// Everything that axe knows of WCAG 2.2 AA, and its best practices.
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

// What a stranger writes who means harm: shown as text, it does none.
export const HOSTILE = "<img src=x onerror=window.hit=1><b>x</b>";

// Returns the value in the middle.
export const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

export const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// Returns a port that is free at the moment.
export function freePort() {
  return new Promise((done, failed) => {
    const server = createServer();
    server.on("error", failed);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
}

// Waits until `look` gives something, and says what was waited for when it does not.
export async function until(what, look) {
  const end = Date.now() + WAIT_MS_MAX;
  let last;
  while (Date.now() < end) {
    try {
      const found = await look();
      if (found) return found;
    } catch (error) {
      last = error;
    }
    await pause(PAUSE_MS);
  }
  throw new Error(`waited in vain for ${what}${last ? `: ${last.message}` : ""}`);
}

export class Browser {
  // Complaints that were looked at, and are still to be told.
  noted = [];

  // Starts ChromeDriver and a browser. `folder` holds its profile.
  static async start(folder) {
    const browser = new Browser();
    const port = await freePort();
    browser.profile = mkdtempSync(join(folder, "profile-"));
    browser.driver = spawn("chromedriver", [`--port=${port}`], { stdio: "ignore" });
    // When a part breaks off: a browser outlives its driver. Its profile is nobody else's.
    process.once("exit", () => {
      browser.driver.kill();
      spawnSync("pkill", ["--full", "--", browser.profile]);
    });
    browser.base = `http://127.0.0.1:${port}`;
    await until("ChromeDriver", async () => (await fetch(`${browser.base}/status`)).ok);
    const args = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
      `--user-data-dir=${browser.profile}`];
    const capabilities = { alwaysMatch: {
      "goog:chromeOptions": { binary: "/usr/bin/chromium", args },
      "goog:loggingPrefs": { browser: "ALL" },
    } };
    const { sessionId } = await browser.ask("POST", "/session", { capabilities }, "");
    browser.session = `/session/${sessionId}`;
    return browser;
  }

  async ask(method, path, body, session = this.session) {
    const answer = await fetch(`${this.base}${session}${path}`, {
      method, body: body === undefined ? undefined : JSON.stringify(body),
    });
    const { value } = await answer.json();
    if (!answer.ok) throw new Error(`${value.error}: ${value.message.split("\n")[0]}`);
    return value;
  }

  async stop() {
    await this.ask("DELETE", "").catch(() => {});
    const gone = new Promise((done) => this.driver.once("exit", done));
    this.driver.kill();
    await gone;
    // The browser writes to its profile until its last moment.
    await until("the profile to go", () => {
      rmSync(this.profile, { recursive: true, force: true });
      return true;
    });
  }

  // Opens a page, and waits until what stands there before the panel has gone.
  async go(address) {
    await this.open(address);
    await until("the panel", async () => !(await this.run("return document.getElementById('waiting')")));
  }
  open(address) { return this.ask("POST", "/url", { url: address }); }
  run(script, ...args) { return this.ask("POST", "/execute/sync", { script, args }); }
  size(width, height) { return this.ask("POST", "/window/rect", { width, height }); }

  // Finds the element that is shown, by XPath.
  find(xpath) {
    return until(xpath, async () => {
      const found = await this.ask("POST", "/elements", { using: "xpath", value: xpath });
      for (const element of found) {
        if (await this.ask("GET", `/element/${element[ELEMENT]}/displayed`)) return element[ELEMENT];
      }
      return undefined;
    });
  }

  text(words) { return this.find(`//*[contains(normalize-space(.), ${quote(words)})][not(self::script)]`); }
  field(label) { return this.find(`//*[@id=//label[normalize-space()=${quote(label)}]/@for]`); }
  async click(xpath) {
    await until(`a click on ${xpath}`, async () => {
      await this.ask("POST", `/element/${await this.find(xpath)}/click`, {});
      return true;
    });
  }
  button(name) { return this.click(`//button[normalize-space()=${quote(name)} and not(@disabled)]`); }
  link(name) { return this.click(`//a[normalize-space()=${quote(name)}]`); }
  async type(element, text) { await this.ask("POST", `/element/${await element}/value`, { text }); }

  // Types in the place of what stands in a field.
  async rewrite(element, text) {
    const field = await element;
    const length = await this.run("return arguments[0].value.length", { [ELEMENT]: field });
    await this.type(field, BACKSPACE.repeat(length) + text);
  }

  // What an element says that was found.
  async said(element) { return this.run("return arguments[0].textContent", { [ELEMENT]: await element }); }
  // What the first one says that a selector finds, shown or not; nothing when there is none.
  word(selector) { return this.run("return document.querySelector(arguments[0])?.textContent ?? ''", selector); }
  // Where the page is, below the address.
  path() { return this.run("return location.pathname"); }

  // Sends the form of a dialog.
  submit() { return this.click("//dialog//button[@type='submit']"); }
  closed() { return until("the dialog to close", async () => !(await this.run("return document.querySelector('dialog')"))); }

  async signIn(email, password) {
    await this.type(this.field("E-mail address"), email);
    await this.type(this.field("Password"), password);
    await this.button("Sign in");
  }

  // Signs out. The hub refuses what a page was still asking for, as a slow one does, and the browser notes it.
  async signOut() {
    const before = await this.complaints();
    await this.click("//button[@aria-label='Sign out']");
    await this.field("Password");
    const after = await this.complaints();
    this.noted = [...before, ...after.filter((it) => !it.includes("status of 401"))];
  }

  // Gives files to a field, which need not be seen.
  async choose(xpath, files) {
    const [input] = await this.ask("POST", "/elements", { using: "xpath", value: xpath });
    await this.type(input[ELEMENT], files.join("\n"));
  }

  // Takes pictures of pages, by name and path, in both themes and three widths. Looks whether each fits,
  // and tells all of what is wrong, not only the first.
  async gallery(address, folder, pages) {
    const wrong = [];
    for (const theme of ["light", "dark"]) {
      await this.run("localStorage.setItem('mamba.theme', arguments[0])", theme);
      for (const [name, path] of Object.entries(pages)) {
        await this.go(`${address}${path}`);
        await this.find("//h1 | //h2");
        await until("no grey lines", async () => !(await this.run("return document.querySelector('.skeleton')")));
        for (const width of WIDTHS) {
          await this.size(width, 900);
          const wide = await this.run("return document.documentElement.scrollWidth - innerWidth");
          if (wide > 0) wrong.push(`${name} is ${wide} px too wide at ${width}`);
          await this.innocent(name).catch((error) => wrong.push(error.message));
          // All of it is shown, with what is below the edge.
          const height = await this.run("return document.documentElement.scrollHeight + outerHeight - innerHeight");
          await this.size(width, Math.min(Math.max(height, 900), HEIGHT_MAX));
          await this.shoot(join(folder, `${name}-${theme}-${width}.png`)).catch((error) => wrong.push(error.message));
        }
      }
    }
    await this.run("localStorage.setItem('mamba.theme', 'light')");
    await this.size(1440, 900);
    assert.deepEqual(wrong, []);
  }

  // Takes pictures of what is seen now, such as a dialog, in both themes and three widths.
  async views(folder, name) {
    const before = await this.run("return document.documentElement.dataset.theme");
    for (const theme of ["light", "dark"]) {
      await this.run("document.documentElement.dataset.theme = arguments[0]", theme);
      for (const width of WIDTHS) {
        await this.size(width, 900);
        await this.shoot(join(folder, `${name}-${theme}-${width}.png`));
      }
    }
    await this.run("document.documentElement.dataset.theme = arguments[0]", before);
    await this.size(1440, 900);
  }

  // Fails when something that a stranger wrote became more than text: the panel itself makes none of these.
  async innocent(what) {
    const found = await this.run(`
      const made = [...document.querySelectorAll("img, b, i, iframe, object, embed, body script")].map((it) => it.outerHTML);
      return window.hit === undefined ? made : [...made, "a script ran"];`);
    assert.deepEqual(found, [], what);
  }

  // Writes what is seen, and has axe look at it: every page that is kept as a picture is examined.
  async shoot(file) {
    await this.keep(file);
    await this.examine(basename(file));
  }

  // Writes what is seen.
  async keep(file) {
    writeFileSync(file, Buffer.from(await this.ask("GET", "/screenshot"), "base64"));
  }

  // Fails when axe finds something on the page, which is called by this name.
  async examine(name) {
    // What moves in is measured where it ends.
    await this.run("for (const it of document.getAnimations()) { try { it.finish(); } catch { it.cancel(); } }");
    if (!(await this.run("return Boolean(window.axe)"))) await this.run(`${AXE}; window.axe = axe;`);
    const found = await this.ask("POST", "/execute/async", { args: [RULES], script: `
      const [rules, done] = arguments;
      axe.run(document, { runOnly: rules, resultTypes: ["violations"] })
        .then((result) => done(result.violations.map((it) => it.id + ": "
          + it.nodes.map((node) => node.target.join(" ") + " (" + (node.any[0] ?? node.all[0] ?? node.none[0])?.message + ")").join(", "))))
        .catch((error) => done(["axe failed: " + error]));` });
    if (found.length > 0) throw new Error(`axe on ${name}: ${found.join("; ")}`);
  }

  // Runs a script in every page before its own; ends with what is returned.
  async prepare(script, ...args) {
    const source = `(${script})(...${JSON.stringify(args)})`;
    const { identifier } = await this.devtools("Page.addScriptToEvaluateOnNewDocument", { source });
    return () => this.devtools("Page.removeScriptToEvaluateOnNewDocument", { identifier });
  }

  // Asks the browser's developer tools.
  devtools(cmd, params = {}) { return this.ask("POST", "/goog/cdp/execute", { cmd, params }); }

  // Takes what the browser noted by itself of refused requests, and fails when it noted anything else. Statuses may be
  // told by their beginning.
  async refused(...statuses) {
    const others = (await this.complaints()).filter((it) => !statuses.some((one) => it.includes(`status of ${one}`)));
    assert.deepEqual(others, []);
  }

  // Returns what the page complained of since the last look.
  async complaints() {
    const log = await this.ask("POST", "/se/log", { type: "browser" });
    const severe = log.filter((entry) => entry.level === "SEVERE").map((entry) => entry.message);
    return [...this.noted.splice(0), ...severe];
  }
}

const quote = (text) => (text.includes("'") ? `"${text}"` : `'${text}'`);

// Steps with the keyboard alone: every page is gone through with Tab, nothing holds the focus, and one sees where it is.
import assert from "node:assert/strict";
import { until } from "./driver.js";

const [TAB, ENTER, ESCAPE] = ["\uE004", "\uE007", "\uE00C"];
// More than any page has: a page that needs more is a trap.
const STOPS_MAX = 400;

// Runs in the page: begins at its top, and writes down every stop with whether one sees it.
const WATCH = `
  document.activeElement?.blur();
  getSelection().removeAllRanges();
  scrollTo(0, 0);
  window.stops = [];
  window.watching?.abort();
  window.watching = new AbortController();
  const rings = (it) => {
    const style = getComputedStyle(it);
    return (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1) || (style.boxShadow !== "none" && it.matches(":focus-within"));
  };
  addEventListener("focusin", ({ target }) => {
    const box = target.getBoundingClientRect();
    const ring = [target, target.parentElement, target.closest("label"), target.closest(".prompt")].some((it) => it && rings(it));
    const inside = box.bottom > 0 && box.right > 0 && box.top < innerHeight && box.left < innerWidth;
    target.dataset.stop = stops.length;
    stops.push({ name: (target.getAttribute("aria-label") ?? target.textContent ?? "").trim().slice(0, 40) || target.name || target.className,
      tag: target.localName, ring, inside });
  }, { signal: watching.signal });`;

// Runs in the page: what can be used and was not stopped at. Of radio buttons one is enough.
const MISSED = `
  const all = [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")];
  const radios = new Set(all.filter((it) => it.type === "radio" && it.dataset.stop).map((it) => it.name));
  return all.filter((it) => !it.disabled && it.tabIndex >= 0 && it.checkVisibility({ visibilityProperty: true }) && !it.dataset.stop
      && !(it.type === "radio" && radios.has(it.name)))
    .map((it) => it.localName + " " + (it.getAttribute("aria-label") ?? it.textContent ?? it.name).trim().slice(0, 40));`;

// Presses a key where the focus is.
function presser(browser) {
  return (value, times = 1) => {
    const once = [{ type: "keyDown", value }, { type: "keyUp", value }];
    return browser.ask("POST", "/actions", { actions: [{ type: "key", id: "keys", actions: Array(times).fill(once).flat() }] });
  };
}

// Goes through pages, by name and path; `which` says what they are.
export async function walk({ browser, step, address, pages, which }) {
  const press = presser(browser);

  await step(`every page of ${which} can be gone through with Tab, and one sees where one is`, async () => {
    const wrong = [];
    let stopped = 0;
    for (const [name, path] of Object.entries(pages)) {
      await browser.go(`${address}${path}`);
      await browser.find("//h1 | //h2");
      await until("no grey lines", async () => !(await browser.run("return document.querySelector('.skeleton')")));
      await browser.run(WATCH);
      const count = await browser.run("return document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex=\"0\"]').length");
      assert.ok(count < STOPS_MAX, `${name} has ${count} stops`);
      // A date has a stop for each of its parts, and one for its calendar.
      const dates = await browser.run("return document.querySelectorAll('[type=date]').length");
      await press(TAB, count + 2 + 3 * dates);
      const stops = await browser.run("return window.stops");
      stopped += stops.length;
      const told = (it) => `${name}: ${it.tag} “${it.name}”`;
      const hasMenu = await browser.run("return document.querySelector('.shell') !== null");
      if (hasMenu && stops[0]?.name !== "Skip to the content") wrong.push(`${name} begins at ${stops[0]?.name}`);
      wrong.push(...stops.filter((it) => !it.ring).map((it) => `${told(it)} has no ring`));
      wrong.push(...stops.filter((it) => !it.inside).map((it) => `${told(it)} is out of sight`));
      wrong.push(...(await browser.run(MISSED)).map((it) => `${name}: ${it} is not reached`));
    }
    console.log(`        ${stopped} stops on ${Object.keys(pages).length} pages`);
    assert.deepEqual([...new Set(wrong)], []);
  });
}

export async function tabs({ browser, step, address, dialog }) {
  const press = presser(browser);
  const focused = () => browser.run("const it = document.activeElement; return it === document.body ? '' : `${it.localName} ${it.textContent.trim().slice(0, 40)}`");

  await step("the first stop skips to the content", async () => {
    await browser.go(`${address}${dialog.path}`);
    await browser.find("//h1");
    await browser.run(WATCH);
    await press(TAB);
    assert.match(await focused(), /Skip to the content/);
    await press(ENTER);
    await press(TAB);
    assert.ok(await browser.run("return document.querySelector('main').contains(document.activeElement)"), await focused());
  });

  await step("a dialog keeps the focus, and gives it back", async () => {
    await browser.go(`${address}${dialog.path}`);
    await browser.find(`//button[normalize-space()='${dialog.button}']`);
    await browser.run(`[...document.querySelectorAll("button")].find((it) => it.textContent.trim() === arguments[0]).focus()`, dialog.button);
    await press(ENTER);
    await until("the dialog", () => browser.run("return document.querySelector('dialog[open]')?.contains(document.activeElement)"));
    for (let pressed = 0; pressed < 30; pressed += 1) {
      await press(TAB);
      const is = await browser.run("const it = document.activeElement; return it === document.body || document.querySelector('dialog').contains(it)");
      assert.ok(is, `${await focused()} is behind the dialog`);
    }
    await press(ESCAPE);
    await until("it to close", async () => !(await browser.run("return document.querySelector('dialog')")));
    await until("the focus where it was", async () => (await focused()).endsWith(dialog.button));
  });

  await step("nothing moves for who does not want it", async () => {
    const features = [{ name: "prefers-reduced-motion", value: "reduce" }];
    await browser.devtools("Emulation.setEmulatedMedia", { features });
    const moving = () => browser.run("return document.getAnimations().map((it) => it.animationName ?? it.transitionProperty ?? 'script')");
    await browser.go(`${address}${dialog.path}`);
    await browser.button(dialog.button);
    await browser.find("//dialog[@open]");
    assert.deepEqual(await moving(), []);
    await browser.run("const it = document.createElement('div'); it.className = 'skeleton'; it.innerHTML = '<span></span>'; document.body.append(it)");
    assert.deepEqual(await moving(), []);
    await browser.devtools("Emulation.setEmulatedMedia", { features: [] });
    assert.notDeepEqual(await moving(), [], "what moves for others is seen here");
    await browser.go(`${address}${dialog.path}`);
  });
}

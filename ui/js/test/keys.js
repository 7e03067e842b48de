// Steps with the keyboard alone: the command palette and the list of shortcuts.
import assert from "node:assert/strict";
import { until } from "./driver.js";

const [ENTER, ESCAPE, DOWN, CONTROL] = ["\uE007", "\uE00C", "\uE015", "\uE009"];

export async function keys({ browser, step, address, folder, name }) {
  // Presses keys where the focus is; the last of several while the others are held.
  const press = async (...all) => {
    const actions = [...all.map((value) => ({ type: "keyDown", value })), ...all.toReversed().map((value) => ({ type: "keyUp", value }))];
    await browser.ask("POST", "/actions", { actions: [{ type: "key", id: "keys", actions }] });
  };
  const write = async (text) => { for (const letter of text) await press(letter); };
  const chosen = () => browser.run("return document.querySelector('#palette [aria-selected=true]')?.textContent ?? ''");
  const isOpen = () => browser.run("return Boolean(document.querySelector('dialog[open]'))");
  const focused = () => browser.run("return document.activeElement?.getAttribute('role') === 'combobox'");

  await step("Ctrl K leads to a server and to a page by letters of their names", async () => {
    await browser.go(`${address}/account`);
    await browser.find("//h1");
    await press(CONTROL, "k");
    await until("the field", focused);
    await browser.views(folder, "palette");
    await write(name.slice(0, 6));
    await until("the server", async () => (await chosen()).includes(name));
    await press(ENTER);
    await until("its page", async () => (await browser.run("return document.querySelector('h1')?.textContent")) === name);
    assert.equal(await isOpen(), false);
    await press(CONTROL, "k");
    await until("the field", focused);
    await write("serv");
    await until("the page", async () => /^Servers/.test(await chosen()));
    await press(ENTER);
    await until("the list", async () => (await browser.path()) === "/servers");
  });

  await step("the shortcuts are told, and Escape closes them", async () => {
    await press(CONTROL, "k");
    await until("the field", focused);
    await write("keyb");
    await until("the entry", async () => (await chosen()).startsWith("Keyboard"));
    await press(DOWN);
    await press(ENTER);
    await browser.text("Close what is open");
    await browser.views(folder, "shortcuts");
    await press(ESCAPE);
    await until("nothing in front", async () => !(await isOpen()));
  });
}

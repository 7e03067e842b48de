// Steps with a server that somebody else may use: exactly what was ticked, seen in a second browser; suspended, given
// other limits, and installed again.
import assert from "node:assert/strict";
import { Browser, until } from "./driver.js";

const GUEST = "guest@second.example";
const WORD = "a guest's own sentence";
const CONSOLE = "Type into the console.";
const START = "Start it.";

// Plays with a server that is off and has an install script; `ask` asks the API as an administrator.
export async function shares({ browser, step, address, folder, ask, server }) {
  const line = (it) => it.word(".server-line");
  const powers = (it) => it.run(`return [...document.querySelectorAll("button")].map((one) => one.textContent.trim())
    .filter((one) => ["Start", "Restart", "Stop", "Kill"].includes(one))`);
  const tick = (it, about) => it.click(`//dialog//label[contains(., '${about}')]`);
  const { name } = await ask("GET", `/servers/${server}`);
  await ask("POST", "/users", { email: GUEST, password: WORD });
  const guest = await Browser.start(folder);
  await guest.size(1440, 900);

  try {
    await step("a sub-user is invited with what was ticked, and sees that and no more", async () => {
      await browser.go(`${address}/servers/${server}/people`);
      await browser.button("Invite");
      await browser.type(browser.find("//dialog//input[@name='email']"), GUEST);
      await tick(browser, START);
      await browser.views(folder, "server-invite");
      await browser.submit();
      await browser.find("//dialog//div[@class='copyable']/code");
      const link = await browser.word("dialog .copyable code");
      await browser.click("//dialog//button[@aria-label='Close']");
      await guest.go(link);
      await guest.button("I have an account: sign in");
      await guest.signIn(GUEST, WORD);
      await guest.button("Accept");
      await until("the list", async () => (await guest.path()) === "/servers");
      await guest.link(name);
      await guest.find("//button[normalize-space()='Stop']");
      assert.deepEqual(await powers(guest), ["Restart", "Stop", "Kill"]);
      const tabs = await guest.run("return [...document.querySelectorAll('.tabs a')].map((it) => it.textContent)");
      for (const tab of ["Sub-users", "Settings", "Network"]) assert.ok(!tabs.includes(tab), tabs.join());
      await guest.go(`${address}/servers/${server}/people`);
      await guest.text("You may not see this");
      assert.deepEqual(await guest.complaints(), []);
      await guest.go(`${address}/servers/${server}`);
      await guest.find("//input[@name='command'][@disabled]");
    });

    await step("rights are changed in the matrix, and hold at once", async () => {
      await browser.go(`${address}/servers/${server}/people`);
      await browser.click(`//tr[contains(., '${GUEST}')]//button[.='Edit']`);
      await tick(browser, START);
      await tick(browser, CONSOLE);
      await browser.views(folder, "server-rights");
      await browser.submit();
      await browser.closed();
      await guest.go(`${address}/servers/${server}`);
      await guest.button("Start");
      await until("that it runs", async () => (await line(guest)).includes("Running"));
      await guest.find("//input[@name='command'][not(@disabled)]");
      assert.deepEqual(await guest.complaints(), []);
    });

    await step("a suspended server is stopped, and its users are told why it cannot be started", async () => {
      await browser.go(`${address}/servers/${server}/settings`);
      await browser.button("Suspend");
      await until("that it is off", async () => /Offline|Suspended/.test(await line(guest)));
      await guest.text("It is suspended: an administrator does not allow it to run.");
      await guest.find("//button[normalize-space()='Start'][@disabled]");
      await browser.find("//button[normalize-space()='Allow to run again']");
      await guest.views(folder, "server-suspended");
      // It ran before, and so it does again.
      await browser.button("Allow to run again");
      await until("that it runs", async () => (await line(guest)).includes("Running"));
    });

    await step("other limits are taken over with its next start", async () => {
      await browser.go(`${address}/servers/${server}/settings`);
      const field = browser.find("//input[@name='limits.memory_mib']");
      const before = (await ask("GET", `/servers/${server}`)).limits.memory_mib;
      await browser.rewrite(field, "x");
      await browser.find("//input[@name='limits.memory_mib'][@aria-invalid='true']");
      await browser.rewrite(field, `${before + 64}`);
      const threads = browser.find("//input[@name='limits.sharing.threads']");
      await browser.type(threads, "1-0");
      await browser.find("//input[@name='limits.sharing.threads'][@aria-invalid='true']");
      await browser.rewrite(threads, "0");
      await browser.rewrite(browser.find("//input[@name='backup_limit']"), "3");
      await browser.views(folder, "server-limits");
      await browser.click("//section[header/h2='Limits']//button[@type='submit']");
      await browser.text("Saved. The node takes it over");
      const { limits, backup_limit } = await ask("GET", `/servers/${server}`);
      assert.deepEqual([limits.memory_mib, limits.sharing.threads, backup_limit], [before + 64, "0", 3]);
    });

    await step("a sub-user is taken out, and the server is gone for it", async () => {
      await browser.go(`${address}/servers/${server}/people`);
      await browser.click(`//tr[contains(., '${GUEST}')]//button[.='Remove']`);
      await browser.click("//dialog//button[normalize-space()='Remove']");
      await browser.text("Nobody else");
      await guest.go(`${address}/servers/${server}`);
      await guest.text("This could not be loaded");
      await guest.refused(404);
    });
  } finally {
    await guest.stop();
  }

  await step("it is installed again when its name is typed, with new files", async () => {
    await browser.go(`${address}/servers/${server}/settings`);
    await browser.button("Install again");
    await browser.click("//dialog//select[@name='files']/option[2]");
    await browser.type(browser.find("//dialog//input[@name='confirm']"), "wrong");
    await browser.submit();
    await browser.find("//dialog[@open]");
    await browser.rewrite(browser.find("//dialog//input[@name='confirm']"), name);
    await browser.views(folder, "server-reinstall");
    await browser.submit();
    await browser.closed();
    await until("that it is installed", () => browser.run("return document.querySelector('.install') !== null"));
    await until("its end", async () => !(await browser.run("return document.querySelector('.install')")));
    // It ran before, and so it does again.
    await until("that it runs", async () => (await line(browser)).includes("Running"));
    await browser.button("Kill");
    await browser.click("//dialog//button[normalize-space()='Kill']");
    await until("that it is off", async () => !/Running|Stopping|Starting/.test(await line(browser)));
  });
}

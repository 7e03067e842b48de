// Steps of somebody with an account of its own: registered by mail, a forgotten password, sessions, keys, looks, a
// session renewed unseen, and a recovery code. Nobody is signed in, before and afterwards.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ask, login } from "./api.js";
import { until } from "./driver.js";

const NEW = "newcomer@people.example";
// Was made the owner of a tenant, which is called Customer, and never was here.
const CUSTOMER = "customer@people.example";
const FIRST = "the first sentence of all";
const SECOND = "another sentence by then";
const THIRD = "and a third one at last";

// Has the hub refuse the next question of this path as it does when an access token has ended, and counts renewals.
const endToken = (path) => {
  const real = window.fetch;
  window.renewals = 0;
  window.fetch = (target, init) => {
    if (String(target).endsWith("/auth/refresh")) window.renewals += 1;
    if (!String(target).startsWith(path) || window.ended) return real(target, init);
    window.ended = true;
    const body = { type: "urn:mamba:problem:not_signed_in", title: "t", status: 401, detail: "the token has ended",
      code: "not_signed_in", request_id: "r" };
    const headers = { "content-type": "application/problem+json" };
    return Promise.resolve(new Response(JSON.stringify(body), { status: 401, headers }));
  };
};

// `admin` is an access token of the administrator. `factor` has an account with a second factor: its address, password
// and recovery codes.
export async function own({ browser, step, address, folder, admin, factor }) {
  const inside = () => browser.find("//button[@aria-label='Sign out']");
  const signed = (word) => login(address, NEW, word);
  // The newest letter's link: without a mail server they wait in the hub.
  const link = (path, to = NEW) => until(`a letter with ${path}`, async () => {
    const { body } = await ask(address, "GET", `/api/v1/mails?to=${to}`, admin);
    const found = body.items.map((it) => new RegExp(`${address}${path}#\\S+`).exec(it.text ?? "")).find(Boolean);
    return found?.[0];
  });

  await step("who registers is told nothing but to look for a mail, whose link makes the account once", async () => {
    await browser.go(`${address}/sign-in`);
    await browser.link("Register");
    await browser.type(browser.field("E-mail address"), NEW);
    await browser.type(browser.field("Password"), "short");
    await browser.find("//input[@aria-invalid='true']");
    await browser.rewrite(browser.field("Password"), FIRST);
    await browser.button("Send me a mail");
    await browser.text("Look into your mailbox");
    await browser.views(folder, "register-sent");
    assert.equal((await signed(FIRST)).status, 401);
    const confirm = await link("/register/confirm");
    await browser.go(confirm);
    await browser.text("Your account is ready");
    await browser.views(folder, "register-done");
    await browser.go(`${address}/status`);
    await browser.go(confirm);
    await browser.text("This link cannot be used");
    await browser.refused(4);
    await browser.go(`${address}/sign-in`);
    await browser.signIn(NEW, FIRST);
    await inside();
  });

  await step("who is invited and has no account makes it with the letter", async () => {
    await browser.signOut();
    await browser.go(await link("/invitation", CUSTOMER));
    await browser.views(folder, "invitation-new");
    await browser.type(browser.field("Password"), FIRST);
    await browser.button("Make the account and accept");
    await inside();
    await browser.go(`${address}/tenants`);
    await browser.link("Customer");
    await browser.go(`${address}/account`);
    await browser.signOut();
    await browser.signIn(NEW, FIRST);
    await inside();
  });

  await step("a token that ended is renewed, and what was asked for comes", async () => {
    await browser.go(`${address}/account`);
    await inside();
    await browser.run(`(${endToken})("/api/v1/account/sessions")`);
    await browser.link("Signing in");
    await browser.text("This one");
    assert.equal(await browser.run("return window.renewals"), 1);
  });

  await step("another session is seen and ended", async () => {
    const other = (await signed(FIRST)).body;
    await browser.go(`${address}/account/security`);
    await browser.click("//tr[not(.//*[contains(., 'This one')])]//button[normalize-space()='End']");
    await until("the other session to go", async () =>
      (await browser.run("return [...document.querySelectorAll('button')].filter((it) => it.textContent.trim() === 'End').length")) === 0);
    assert.equal((await ask(address, "GET", "/api/v1/account", other.access_token)).status, 401);
  });

  await step("the password is changed; the old one is good for nothing, other sessions end", async () => {
    const other = (await signed(FIRST)).body;
    const card = "//section[header/h2='Password']";
    await browser.type(browser.find(`${card}//input[@name='password']`), "not the present one");
    await browser.type(browser.find(`${card}//input[@name='new_password']`), SECOND);
    await browser.button("Change the password");
    await browser.find(`${card}//div[@class='notice']`);
    await browser.refused(4);
    await browser.rewrite(browser.find(`${card}//input[@name='password']`), FIRST);
    await browser.button("Change the password");
    await browser.text("The password was changed; all other sessions were ended");
    assert.equal((await ask(address, "GET", "/api/v1/account", other.access_token)).status, 401);
    assert.equal((await signed(FIRST)).status, 401);
    assert.equal((await signed(SECOND)).status, 200);
  });

  await step("an SSH key is added, one that is none is told, and it is removed", async () => {
    const place = mkdtempSync(join(tmpdir(), "mamba-key-"));
    const file = join(place, "key");
    execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "newcomer", "-f", file]);
    const key = readFileSync(`${file}.pub`, "utf8").trim();
    const print = execFileSync("ssh-keygen", ["-l", "-f", `${file}.pub`], { encoding: "utf8" }).split(" ")[1];
    rmSync(place, { recursive: true });
    await browser.go(`${address}/account/keys`);
    await browser.button("Add a key");
    await browser.type(browser.find("//dialog//input[@name='name']"), "laptop");
    await browser.type(browser.find("//dialog//textarea[@name='public_key']"), "ssh-ed25519 nonsense");
    await browser.submit();
    await browser.find("//dialog//textarea[@aria-invalid='true']");
    await browser.refused(422);
    await browser.rewrite(browser.find("//dialog//textarea[@name='public_key']"), key);
    await browser.views(folder, "ssh-key-new");
    await browser.submit();
    await browser.find(`//td/code[.='${print}']`);
    await browser.click("//tr[contains(., 'laptop')]//button[normalize-space()='Remove']");
    await browser.text("No keys");
  });

  await step("looks are chosen, and kept by this browser", async () => {
    const theme = () => browser.run("return document.documentElement.dataset.theme");
    await browser.go(`${address}/account`);
    await browser.click("//label[@class='pick'][span='Dark']");
    assert.equal(await theme(), "dark");
    await browser.go(`${address}/account`);
    assert.equal(await theme(), "dark");
    await browser.click("//label[@class='pick'][span='Light']");
    assert.equal(await theme(), "light");
    await browser.signOut();
  });

  await step("a forgotten password is set anew by a link that works once, and ends every session", async () => {
    const other = (await signed(SECOND)).body;
    await browser.go(`${address}/sign-in`);
    await browser.link("Forgot your password?");
    await browser.type(browser.field("E-mail address"), NEW);
    await browser.button("Send the link");
    await browser.text("Look into your mailbox");
    const reset = await link("/reset-password");
    await browser.go(reset);
    await browser.type(browser.field("New password"), THIRD);
    await browser.button("Set the password");
    await browser.text("Your password is set");
    assert.equal((await ask(address, "GET", "/api/v1/account", other.access_token)).status, 401);
    assert.equal((await signed(SECOND)).status, 401);
    await browser.go(`${address}/status`);
    await browser.go(reset);
    await browser.type(browser.field("New password"), FIRST);
    await browser.button("Set the password");
    await browser.find("//div[@class='notice']");
    await browser.refused(4);
    await browser.go(`${address}/sign-in`);
    await browser.signIn(NEW, THIRD);
    await inside();
    await browser.signOut();
  });

  await step("a recovery code stands in for the app once", async () => {
    const [code] = factor.codes;
    await browser.signIn(factor.email, factor.word);
    await browser.type(browser.field("Code"), code);
    await browser.views(folder, "second-factor");
    await browser.button("Verify");
    await inside();
    await browser.go(`${address}/account/security`);
    await browser.text(`${factor.codes.length - 1} recovery codes are left.`);
    await browser.signOut();
    await browser.signIn(factor.email, factor.word);
    await browser.type(browser.field("Code"), code);
    await browser.button("Verify");
    await browser.find("//div[@class='notice']");
    await browser.refused(422);
    await browser.button("Use another account");
    await browser.field("Password");
  });
}

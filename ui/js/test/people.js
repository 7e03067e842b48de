// People and their accounts in a real browser: second factor, members, keys, passkeys, and what everybody may
// read. Part of the journey, or alone on a hub without nodes: `node people.js ADDRESS PASSWORD FOLDER`.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { accounts } from "./accounts.js";
import { ask, login } from "./api.js";
import { bound } from "./bound.js";
import { Browser, until } from "./driver.js";
import { own } from "./own.js";
import { walk } from "./tabs.js";

const ADMIN = "admin@hub.example";
const OWNER = "owner@people.example";
const FRIEND = "friend@people.example";
const SECRET = "a long enough sentence";
const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

// What an authenticator app shows at the moment (RFC 6238).
function totp(secret, at = Date.now()) {
  let bits = "";
  for (const letter of secret.replace(/[= ]/g, "")) bits += BASE32.indexOf(letter).toString(2).padStart(5, "0");
  const key = Buffer.from(bits.match(/.{8}/g).map((it) => parseInt(it, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(at / 30_000)));
  const hash = createHmac("sha1", key).update(counter).digest();
  const number = hash.readUInt32BE(hash[19] & 15) & 0x7fffffff;
  return String(number % 1_000_000).padStart(6, "0");
}

// Plays all of it. Nobody is signed in, before and afterwards.
export async function people({ browser, address, password, folder, step }) {
  const forget = () => browser.complaints();
  let tenant;
  let admin;
  let secret;
  let codes;

  // An authenticator app's code works once: the next one is waited for.
  let lastCode;
  async function freshCode() {
    await until("the next code", () => totp(secret) !== lastCode);
    lastCode = totp(secret);
    return lastCode;
  }

  await step("everybody reads the status and the legal pages", async () => {
    await browser.go(`${address}/sign-in`);
    await browser.link("Status");
    await browser.text("Panel and API");
    assert.equal(await browser.path(), "/status");
    await browser.link("Terms of service");
    await browser.text("What you may not do");
    await browser.text("it must be checked by a lawyer");
    const told = await ask(address, "GET", "/api/v1/status");
    assert.equal(told.body.store, "good");
  });

  await step("what is typed before the panel is here is kept, and sent once it is", async () => {
    const speed = (bytes) => browser.devtools("Network.emulateNetworkConditions",
      { offline: false, latency: 0, downloadThroughput: bytes, uploadThroughput: bytes });
    await browser.devtools("Network.enable");
    await browser.devtools("Network.clearBrowserCache");
    await speed(20_000);
    await browser.open(`${address}/sign-in`);
    await browser.type(browser.find("//input[@id='early-email']"), ADMIN);
    await browser.type(browser.find("//input[@id='early-password']"), password);
    await browser.shoot(join(folder, "sign-in-early.png"));
    await browser.click("//form[@id='early']//button[@type='submit']");
    assert.ok(await browser.run("return document.getElementById('waiting') !== null"), "the panel was faster");
    await speed(-1);
    await until("the panel", async () => !(await browser.run("return document.getElementById('waiting')")));
    await browser.signOut();
  });

  await step("an owner sets up a second factor and signs in with it", async () => {
    admin = (await login(address, ADMIN, password)).body.access_token;
    const made = async (name, email) => {
      const body = { name, quota: { memory_mib: 4096, servers: 3 }, owner: { email, password: SECRET } };
      const answer = await ask(address, "POST", "/api/v1/tenants", admin, body);
      assert.equal(answer.status, 201, JSON.stringify(answer.body));
      return answer.body.tenant;
    };
    tenant = await made("Blocks <b>& more", OWNER);
    await made("A friend's", FRIEND);
    await browser.go(`${address}/account/security`);
    await browser.signIn(OWNER, SECRET);
    await browser.button("Set up an authenticator app");
    await browser.type(browser.find("//dialog//input[@type='password']"), SECRET);
    await browser.button("Next");
    secret = await browser.said(browser.find("//dialog//div[@class='copyable']/code"));
    // The picture for the app, beside the secret that it holds.
    await browser.find("//dialog//*[contains(@class, 'qr')]");
    await browser.views(folder, "account-two-factor");
    await browser.type(browser.field("Code"), await freshCode());
    await browser.button("Turn on");
    await browser.text("Keep these recovery codes");
    codes = (await browser.word("dialog .codes code")).split("\n");
    assert.equal(codes.length, 10);
    await browser.click("//dialog//button[@aria-label='Close']");
    await browser.signOut();
    await browser.go(`${address}/tenants`);
    await browser.signIn(OWNER, SECRET);
    await browser.type(browser.field("Code"), await freshCode());
    await browser.button("Verify");
    await browser.link("Blocks <b>& more");
    await browser.text("0 of 3");
  });

  let invitation;
  await step("a member is invited, and its mail is seen to wait", async () => {
    await browser.link("Members");
    await browser.button("Invite a member");
    await browser.type(browser.find("//dialog//input[@name='email']"), FRIEND);
    await browser.submit();
    await browser.text("This link is shown only now");
    invitation = await browser.word("dialog .copyable code");
    await browser.views(folder, "invited");
    await browser.click("//dialog//button[@aria-label='Close']");
    await browser.text("Waits in the hub");
  });

  await step("a role is made from the table of rights", async () => {
    await browser.link("Roles");
    await browser.button("New role");
    await browser.type(browser.find("//dialog//input[@name='name']"), "Night watch");
    await browser.click("//dialog//label[contains(., 'Start it.')]");
    await browser.click("//dialog//label[contains(., 'See members and invitations.')]");
    await browser.views(folder, "role-new");
    await browser.button("Save");
    await browser.text("Night watch");
    await browser.text("1 over the tenant, 1 over servers");
  });

  await step("a tenant below is made and limited", async () => {
    await browser.link("Tenants below");
    await browser.button("New tenant");
    await browser.type(browser.find("//dialog//input[@name='name']"), "Customer");
    await browser.type(browser.find("//dialog//input[@name='owner']"), "customer@people.example");
    await browser.type(browser.find("//dialog//input[@name='quota.memory_mib']"), "1024");
    await browser.type(browser.find("//dialog//input[@name='quota.servers']"), "1");
    await browser.views(folder, "child-new");
    await browser.submit();
    await browser.text("Memory 1 GiB");
    await browser.link("Overview");
    await browser.text("1 GiB of 4 GiB");
  });

  await step("the trail tells it, filtered and as a file", async () => {
    await browser.link("Audit trail");
    await browser.text("member:invite");
    await browser.click("//select[@name='event']/option[normalize-space()='Roles']");
    await browser.text("role:create");
    await until("other events to go", async () => !(await browser.run("return document.body.innerText")).includes("member:invite"));
    await browser.button("Export as CSV");
    await browser.text("entries saved");
  });

  await step("an API key is shown once, works, and ends", async () => {
    await browser.go(`${address}/account/keys`);
    await browser.button("New API key");
    await browser.type(browser.find("//dialog//input[@name='name']"), "robot");
    await browser.views(folder, "api-key-new");
    await browser.submit();
    await browser.text("It is shown only now");
    const token = await browser.word("dialog .copyable code");
    assert.equal((await ask(address, "GET", `/api/v1/tenants/${tenant}`, token)).status, 200);
    const refused = await ask(address, "PATCH", `/api/v1/tenants/${tenant}`, token, { name: "x" });
    assert.equal(refused.status, 403);
    await browser.click("//dialog//button[@aria-label='Close']");
    await browser.text("robot");
    await browser.click("//tr[contains(., 'robot')]//button[normalize-space()='Remove']");
    await browser.submit();
    await browser.text("No API keys");
    assert.equal((await ask(address, "GET", `/api/v1/tenants/${tenant}`, token)).status, 401);
  });

  await bound({ browser, step, address, folder, tenant, owner: OWNER });

  await step("a passkey is added, renamed, and signs in alone", async () => {
    const kind = { protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true,
      isUserVerified: true };
    const device = await browser.ask("POST", "/webauthn/authenticator", kind);
    await browser.go(`${address}/account/security`);
    await browser.button("Add a passkey");
    await browser.type(browser.find("//dialog//input[@name='name']"), "Laptop");
    await browser.type(browser.find("//dialog//input[@type='password']"), SECRET);
    await browser.submit();
    await browser.text("Laptop");
    await browser.closed();
    await browser.button("Rename");
    await browser.type(browser.find("//dialog//input[@name='name']"), " at home");
    await browser.button("Save");
    await browser.text("Laptop at home");
    await browser.signOut();
    await browser.type(browser.field("E-mail address"), OWNER);
    await browser.button("Sign in with a passkey");
    await browser.find("//button[@aria-label='Sign out']");
    await browser.ask("DELETE", `/webauthn/authenticator/${device}`);
  });

  const pages = {};
  await step("all of these pages in both themes and three widths", async () => {
    Object.assign(pages, { status: "/status", account: "/account", "account-security": "/account/security",
      "account-keys": "/account/keys", tenants: "/tenants" });
    for (const page of ["terms", "privacy", "refund", "aup", "dmca"]) pages[`legal-${page}`] = `/legal/${page}`;
    for (const tab of ["overview", "members", "roles", "api-keys", "usage", "audit", "tenants", "settings"]) {
      pages[`tenant-${tab}`] = `/tenants/${tenant}/${tab}`;
    }
    await browser.gallery(address, folder, pages);
  });

  await walk({ browser, step, address, pages, which: "people" });

  await step("all pages of the ways in, in both themes and three widths", async () => {
    await browser.go(`${address}/account`);
    await browser.signOut();
    await browser.gallery(address, folder, { "sign-in": "/sign-in", register: "/register", forgot: "/forgot-password",
      reset: "/reset-password#0123", "register-confirm": "/register/confirm", "address-confirm": "/confirm-address",
      "auth-callback": "/auth/callback" });
  });

  await step("who was invited accepts, and is refused what it may not do", async () => {
    await browser.go(invitation);
    await browser.views(folder, "invited-outside");
    await browser.button("I have an account: sign in");
    await browser.signIn(FRIEND, SECRET);
    await browser.find("//button[normalize-space()='Accept']");
    await browser.views(folder, "invitation");
    await browser.button("Accept");
    await until("the list", async () => (await browser.path()) === "/servers");
    await browser.link("Tenants");
    await browser.link("Blocks <b>& more");
    await browser.text("1 GiB of 4 GiB");
    const tabs = await browser.run("return [...document.querySelectorAll('.tabs a')].map((it) => it.textContent)");
    assert.deepEqual(tabs, ["Overview"]);
    await browser.go(`${address}/tenants/${tenant}/members`);
    await browser.text("You may not see this");
    await browser.views(folder, "refused");
    const { access_token: token } = (await login(address, FRIEND, SECRET)).body;
    const answer = await ask(address, "GET", `/api/v1/tenants/${tenant}/members`, token);
    assert.equal(answer.status, 403);
    await forget();
    await browser.signOut();
  });

  await step("an account at a provider is linked, signs in alone, and is unlinked", async () => {
    await browser.go(`${address}/account/security`);
    await browser.signIn(FRIEND, SECRET);
    await browser.button("Link Mock");
    await browser.find("//tr[contains(., 'Mock')]//button[normalize-space()='Unlink']");
    assert.equal(await browser.path(), "/account/security");
    await browser.signOut();
    await browser.button("Continue with Mock");
    await until("the servers", async () => (await browser.path()) === "/servers");
    await browser.find(`//*[@title='${FRIEND}']`);
    // Nothing of the way there stays in the address, or in the tab.
    assert.equal(await browser.run("return location.search + location.hash + sessionStorage.length"), "0");
    await browser.go(`${address}/account/security`);
    await browser.button("Unlink");
    await browser.submit();
    await browser.find("//button[normalize-space()='Link Mock']");
    await browser.signOut();
    await browser.button("Continue with Mock");
    await browser.find("//h1[.='This did not work']");
    await forget();
  });
  await own({ browser, step, address, folder, admin, factor: { email: OWNER, word: SECRET, codes } });
  await accounts({ browser, step, address, folder, admin: ADMIN, password, friend: FRIEND, friendWord: SECRET });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [address, password, folder] = process.argv.slice(2);
  mkdirSync(folder, { recursive: true });
  const browser = await Browser.start(folder);
  let passed = 0;
  let failed = 0;
  const step = async (name, play) => {
    try {
      await play();
      assert.deepEqual(await browser.complaints(), [], "the page's console");
      passed += 1;
      console.log(`ok      ${name}`);
    } catch (error) {
      failed += 1;
      console.log(`FAILED  ${name}: ${error.message}`);
      await browser.shoot(join(folder, `failed-people-${failed}.png`)).catch(() => {});
    }
  };
  await browser.size(1440, 900);
  await people({ browser, address, password, folder, step });
  await browser.stop();
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed === 0 ? 0 : 1;
}

// Steps of an administrator: a second node joins with the command that the panel shows, eggs come in, ports,
// tenants and accounts are changed, and the audit trail tells it.
import assert from "node:assert/strict";
import { join } from "node:path";
import { asker, login } from "./api.js";
import { until } from "./driver.js";
import { game } from "./game.js";
import { Machine } from "./machine.js";
import { moving } from "./moving.js";
import { shares } from "./shares.js";

const EGGS = new URL("../../../core/src/blueprint/egg/fixtures/", import.meta.url);
const OWNER = "owner@second.example";

// Plays, and returns the pages of the administration for the pictures.
export async function administration({ browser, step, address, folder, admin, password }) {
  const machine = new Machine(process.env.MAMBA_EDGE);
  const shoot = (name) => browser.shoot(join(folder, `admin-${name}.png`));
  const views = (name) => browser.views(folder, `admin-${name}`);
  const inDialog = (name) => browser.click(`//dialog//button[@type='submit' and normalize-space()='${name}']`);
  const section = (name) => browser.click(`//ul[@class='nav-sub']//a[normalize-space()='${name}']`);
  let node;

  await step("the installation is seen at a glance, with ages", async () => {
    await browser.link("Administration");
    await browser.find("//section[@class='stat'][h2='Nodes live'][p='1']");
    await browser.find("//section[@class='stat'][h2='Facts lag']//time");
    await browser.find("//ul[@class='findings']//strong[.='store']");
  });

  await step("a machine becomes a node with the command that is shown", async () => {
    await section("Nodes");
    await browser.button("Enrol a node");
    await browser.type(browser.field("Name of the node"), "second");
    await inDialog("Make the command");
    await browser.text("Waiting for the machine.");
    await views("enrol-waiting");
    const command = await browser.word("dialog .copyable code");
    const [, token] = /^sudo mamba-edge enrol (\S+)$/.exec(command);
    await machine.do("enrol", token);
    await browser.text("The machine has joined.");
    machine.do("run").catch(() => {});
    await browser.text("The machine is connected.");
    await shoot("enrol-connected");
    await browser.link("Open the node");
    await browser.find("//h1[.='second']");
    await browser.text("agrees with the hub");
    node = (await browser.path()).split("/")[3];
  });

  await step("its region is set, and a number that is none is not sent", async () => {
    await browser.click("//nav[@class='tabs']//a[.='Settings']");
    await browser.type(browser.field("Region"), "eu-west");
    await browser.type(browser.field("Tags"), "nvme, ddos");
    await browser.type(browser.field("Memory for servers"), "much");
    await browser.button("Save");
    await browser.text("One of the numbers is none.");
    await browser.rewrite(browser.field("Memory for servers"), "");
    await browser.button("Save");
    await browser.text("Saved");
    await browser.find("//div[@class='server-line']//span[.='eu-west']");
  });

  await step("ports are added as a range, told otherwise, and deleted", async () => {
    await browser.click("//nav[@class='tabs']//a[.='Ports']");
    await browser.text("No ports yet");
    await browser.click("(//button[normalize-space()='Add ports'])[1]");
    await browser.type(browser.field("Ports"), "30100-30104");
    await views("ports-dialog");
    await inDialog("Add");
    await browser.text("5 of 5 ports free");
    await browser.click("(//button[.='Edit'])[1]");
    await browser.type(browser.field("Told to players"), "play.example.org");
    await inDialog("Save");
    await browser.find("//td[.='play.example.org']");
    await browser.click("(//td//button[.='Delete'])[2]");
    await inDialog("Delete");
    await browser.text("4 of 4 ports free");
  });

  await step("eggs are dropped or chosen, and each has its report", async () => {
    await section("Blueprints");
    await browser.find("//label[@class='drop']");
    await browser.run(`
      const files = new DataTransfer();
      files.items.add(new File(["{ this is no egg"], "broken.json"));
      document.querySelector(".drop").dispatchEvent(new DragEvent("drop", { dataTransfer: files, bubbles: true, cancelable: true }));`);
    await browser.find("//ul[@class='findings']/li[contains(., 'Not imported')]//strong[.='broken.json']");
    await browser.refused(422);
    const files = ["plain.json", "odd.json"].map((name) => new URL(name, EGGS).pathname);
    await browser.choose("//label[@class='drop']/input", files);
    await browser.find("//ul[@class='findings']/li[contains(., 'Imported')]//strong[.='plain.json']");
    await shoot("import-report");
  });

  await step("a blueprint is opened, changed and becomes its next version", async () => {
    await browser.click("//ul[@class='findings']/li[contains(., 'plain.json')]//a");
    await browser.button("Open as text");
    const text = "document.querySelector('textarea[name=content]')";
    await until("its text", async () => (await browser.run(`return ${text}?.value ?? ''`)).includes("{"));
    await browser.run(`${text}.value = ${text}.value.replace(/("description": ")/, "$1Changed. "); ${text}.dispatchEvent(new Event('input', { bubbles: true }))`);
    await browser.button("Save as the next version");
    await browser.text("Saved as version 2");
    await shoot("blueprint-edited");
  });

  await step("a blueprint is saved as an egg, which can be read again", async () => {
    await browser.run("const make = URL.createObjectURL; URL.createObjectURL = (blob) => { window.made = blob; return make(blob); }");
    await browser.button("Export as egg");
    const text = await until("the file", () => browser.run("return window.made?.text()"));
    const egg = JSON.parse(text);
    assert.equal(egg.meta.version, "PTDL_v2");
    assert.match(egg.description, /^Changed\. /);
  });

  await step("a tenant is made within a quota", async () => {
    await section("Tenants");
    await browser.button("New tenant");
    await browser.type(browser.field("Name"), "Second");
    await browser.type(browser.field("E-mail address of the owner"), OWNER);
    await browser.type(browser.field("Password of the owner"), "a long enough password");
    await browser.type(browser.field("Servers"), "3");
    await views("tenant-dialog");
    await inDialog("Make the tenant");
    await browser.find("//tr[contains(., 'Second')]//td[contains(., '3 servers')]");
  });

  await step("an account is locked when its address is typed, and let in again", async () => {
    await section("Users");
    await browser.type(browser.find("//input[@type='search']"), "second.example");
    await browser.find(`//tbody[count(tr)=1]/tr[contains(., '${OWNER}')]`);
    await browser.click(`//tr[contains(., '${OWNER}')]//button[.='Lock']`);
    await inDialog("Lock");
    await browser.text("What you typed is something else.");
    await browser.type(browser.find("//dialog//input[@name='confirm']"), OWNER);
    await inDialog("Lock");
    await browser.find(`//tr[contains(., '${OWNER}')]//span[@class='badge'][.='Locked']`);
    assert.equal((await login(address, OWNER, "a long enough password")).status, 403);
    await browser.click(`//tr[contains(., '${OWNER}')]//button[.='Unlock']`);
    await inDialog("Unlock");
    await browser.click(`//tr[contains(., '${OWNER}')]//button[.='Lock']`);
    await browser.button("Cancel");
    await browser.closed();
  });

  const ask = await asker(address, admin, password);
  const server = await game({ browser, step, address, folder, ask, node, name: "second", machine });
  await shares({ browser, step, address, folder, ask, server });
  await moving({ browser, step, address, folder, ask, server, to: "demo-node" });

  await step("a server is deleted when its name is typed, and is kept for a while", async () => {
    const { name } = await ask("GET", `/servers/${server}`);
    await browser.go(`${address}/servers/${server}/settings`);
    await browser.button("Delete the server");
    await browser.type(browser.find("//dialog//input[@name='confirm']"), name);
    await inDialog("Delete the server");
    await until("the list", async () => (await browser.path()) === "/servers");
    await browser.find(`//tr[.//a[.="${name}"]]//span[@class='badge'][.='Being deleted']`);
    assert.ok((await ask("GET", `/servers/${server}`)).deleted_at > 0);
  });

  await step("the audit trail tells it, is filtered, and becomes a file", async () => {
    await browser.go(`${address}/admin`);
    await section("Audit");
    await browser.find("//td/code[.='user:account.lock']");
    await browser.type(browser.field("Event begins with"), "node:");
    await browser.find("//td/code[.='node:update']");
    await until("nothing else", async () => !(await browser.run("return [...document.querySelectorAll('td > code')].some((it) => !it.textContent.startsWith('node:'))")));
    await browser.run("const make = URL.createObjectURL; URL.createObjectURL = (blob) => { window.made = blob; return make(blob); }");
    await browser.button("Export as CSV");
    const text = await until("the file", () => browser.run("return window.made?.text()"));
    assert.match(text, /^number,time,event,/);
    assert.match(text, /"node:update"/);
  });

  const other = new Machine(process.env.MAMBA_EDGE);
  await step("another machine takes the place of a lost one", async () => {
    await machine.stop();
    await browser.go(`${address}/admin/nodes/${node}/settings`);
    await browser.button("Replace the machine");
    await browser.text("Another machine becomes second.");
    await inDialog("Make the command");
    await browser.text("Waiting for the machine.");
    await views("replace-waiting");
    const command = await browser.word("dialog .copyable code");
    const [, token] = /^sudo mamba-edge enrol (\S+)$/.exec(command);
    await other.do("enrol", token);
    other.do("run").catch(() => {});
    await browser.text("The machine is connected.");
    await browser.go(`${address}/admin/nodes/${node}`);
    await browser.text("Key replaced");
    assert.equal((await ask("GET", `/nodes/${node}`)).freshness.link, "live");
    assert.ok((await ask("GET", `/nodes/${node}/link`)).replaced_at > 0, "the old key is told apart");
  });

  await step("a node whose daemon ends is shown as unreachable, and is revoked when its name is typed", async () => {
    await other.stop();
    await browser.go(`${address}/admin`);
    await section("Nodes");
    await browser.find("//tr[contains(., 'second')][@data-stale]//span[contains(., 'Unreachable')]");
    await browser.go(`${address}/admin/nodes/${node}/settings`);
    await browser.button("Revoke the node");
    await inDialog("Revoke the node");
    await browser.text("What you typed is something else.");
    await browser.type(browser.find("//dialog//input[@name='confirm']"), "second");
    await views("revoke-dialog");
    await inDialog("Revoke the node");
    await browser.find("//div[@class='server-line']//span[.='Revoked']");
  });

  await machine.remove(node);
  await other.remove(node);
  const demo = await firstNode(browser, address);
  const pages = { "admin-overview": "/admin" };
  for (const name of ["nodes", "blueprints", "tenants", "users", "allocations", "mail", "audit", "health", "settings"]) {
    pages[`admin-${name}`] = `/admin/${name}`;
  }
  for (const tab of ["machine", "servers", "ports", "settings"]) pages[`admin-node-${tab}`] = `/admin/nodes/${demo}/${tab}`;
  pages["admin-node-revoked"] = `/admin/nodes/${node}`;
  pages["admin-blueprint"] = "/admin/blueprints/openttd";
  return pages;
}

// Returns the id of the demo's own node.
async function firstNode(browser, address) {
  await browser.go(`${address}/admin/nodes`);
  await browser.find("//td/a[.='demo-node']");
  return browser.run("return [...document.querySelectorAll('td > a')].find((it) => it.textContent === 'demo-node').pathname.split('/')[3]");
}

// Steps with a server that goes to another node, and then to another tenant.
import assert from "node:assert/strict";
import { freePort, until } from "./driver.js";
import { asRoot } from "./machine.js";

// Plays with a server that is off on a node of its own; `ask` asks the API. `to` is the name of the node that it goes to.
export async function moving({ browser, step, address, folder, ask, server, to }) {
  const here = (path) => browser.go(`${address}/servers/${server}/${path}`);
  const inDialog = (label) => browser.click(`//dialog//button[normalize-space()='${label}']`);
  const mounts = "//form[.//textarea[@name='mounts']]";
  const name = async () => (await ask("GET", `/servers/${server}`)).name;

  await step("a server goes to another node, is followed there, and runs again", async () => {
    const { items } = await ask("GET", "/nodes");
    const { node } = items.find((it) => it.name === to);
    await ask("POST", "/allocations", { node, ip: "127.0.0.1", port: await freePort(), protocol: "udp" });
    await here("settings");
    // A folder of this node is not on the other one.
    await browser.rewrite(browser.find(`${mounts}//textarea`), "");
    await browser.click(`${mounts}//button[@type='submit']`);
    await until("no folder", async () => (await ask("GET", `/servers/${server}/mounts`)).mounts.length === 0);
    await browser.button("Start");
    await until("that it runs", async () => (await browser.word(".server-line")).includes("Running"));
    await browser.button("Move");
    await browser.find("//dialog[@open]");
    await browser.views(folder, "server-move");
    await browser.click(`//dialog//select[@name='node']/option[.='${to}']`);
    await inDialog("Move");
    await browser.text("From second to demo-node");
    await browser.text("Moved from second to demo-node");
    await until("that it runs", async () => (await browser.word(".server-line")).includes("Running"));
    assert.equal((await ask("GET", `/servers/${server}`)).node, node);
    const running = asRoot("docker", "ps", "--quiet", "--filter", `label=mamba.server=${server}`);
    assert.equal(running.split("\n").length, 1, "on one node only");
    // Beside the page's head nothing is cut in half then.
    await browser.run("[...document.querySelectorAll('section.card')].find((it) => it.textContent.includes('Moved from')).scrollIntoView()");
    await browser.views(folder, "server-moved");
  });

  await step("it is given to another tenant when its name is typed", async () => {
    await browser.button("Kill");
    await inDialog("Kill");
    await until("that it is off", async () => !/Running|Stopping/.test(await browser.word(".server-line")));
    const before = (await ask("GET", `/servers/${server}`)).tenant;
    await browser.button("Give to another tenant");
    await browser.find("//dialog[@open]//select[@name='tenant']/option[2]");
    await browser.views(folder, "server-give");
    await browser.click("//dialog//select[@name='tenant']/option[2]");
    await browser.type(browser.find("//dialog//input[@name='confirm']"), await name());
    await inDialog("Give to another tenant");
    await until("the list", async () => (await browser.path()) === "/servers");
    assert.notEqual((await ask("GET", `/servers/${server}`)).tenant, before);
  });
}

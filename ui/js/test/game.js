// Steps with a server from its form to its end: rules told as one types, an install script that is watched, a folder
// of the node, players as the game tells them; and nothing that a stranger wrote is anything but text.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { HOSTILE, freePort, until } from "./driver.js";
import { asRoot } from "./machine.js";

const TEEWORLDS = new URL("../../../core/src/blueprint/built_in/teeworlds.json", import.meta.url);
const NAME = `Arena ${HOSTILE}`;
// Long enough to be seen, and longer than what a page keeps of a server that it asked for.
const INSTALL_SECONDS = 8;

// Returns a blueprint whose every word was written by somebody who means harm, with an install script.
function blueprint() {
  const it = JSON.parse(readFileSync(TEEWORLDS, "utf8"));
  const script = `#!/bin/sh\necho '${HOSTILE} unpacking'\nfor i in $(seq ${INSTALL_SECONDS}); do echo "part $i"; sleep 1; done\n`
    + "echo made > /mnt/server/made.txt\n";
  Object.assign(it, { key: "arena", name: `Arena game ${HOSTILE}`, description: HOSTILE, author: HOSTILE, tags: [HOSTILE],
    install: { image: "mamba/probe:1", entrypoint: "sh", script },
    // Last, when the screen is full of what the game says.
    startup: `(sleep 3; echo '${HOSTILE} up') & ${it.startup}` });
  it.images[0].label = HOSTILE;
  Object.assign(it.variables[1], { name: `Motto ${HOSTILE}`, description: HOSTILE });
  return it;
}

// Plays on a node of this name that runs on `machine`, and returns the server's id: it is off. `ask` asks the API.
export async function game({ browser, step, address, folder, ask, node, name, machine }) {
  const inDialog = (label) => browser.click(`//dialog//button[normalize-space()='${label}']`);
  const port = await freePort();
  let server;

  await step("files with a name that means harm are told as they are called", async () => {
    await browser.go(`${address}/admin/blueprints`);
    await browser.find("//label[@class='drop']");
    await browser.run(`
      const files = new DataTransfer();
      files.items.add(new File([arguments[0]], arguments[1]));
      document.querySelector(".drop").dispatchEvent(new DragEvent("drop", { dataTransfer: files, bubbles: true, cancelable: true }));`,
      JSON.stringify(blueprint()), `${HOSTILE}.json`);
    await browser.find(`//ul[@class='findings']/li[contains(., 'Imported')]//strong[.='${HOSTILE}.json']`);
    await browser.innocent("the report of an import");
    await browser.go(`${address}/admin/blueprints/arena`);
    await browser.text(`Arena game ${HOSTILE}`);
    await browser.innocent("a blueprint");
  });

  await step("a server is made by its form, which tells what is wrong as one types", async () => {
    await ask("POST", "/allocations", { node, ip: "127.0.0.1", port, protocol: "udp", note: HOSTILE });
    await browser.go(`${address}/servers/new`);
    await browser.click(`//label[@class='pick'][.//strong[.='Arena game ${HOSTILE}']]`);
    await browser.type(browser.field("Name"), NAME);
    await browser.click("//select[@name='tenant']/option[.='Second']");
    const motto = browser.field(`Motto ${HOSTILE}`);
    await browser.type(motto, '"');
    await browser.find("//input[@aria-invalid='true']");
    await browser.type(motto, "\uE003");
    await until("the rule to be kept", async () => !(await browser.run("return document.querySelector('[aria-invalid=true]')")));
    await browser.click(`//select[@name='node']/option[.='${name}']`);
    await browser.click(`//select[@name='allocations']/option[contains(., ':${port}')]`);
    await browser.innocent("the form");
    await browser.views(folder, "servers-new-form");
    await browser.button("Create the server");
    await until("its page", async () => (await browser.word("h1")) === NAME);
    server = (await browser.path()).split("/")[2];
  });

  await step("its install script is watched until it is done", async () => {
    await until("that it runs", async () => /Its install script runs\. \d+ s/.test(await browser.word(".install header p")));
    await until("what it says", async () => (await browser.word(".install .log")).includes(`${HOSTILE} unpacking\npart 1`));
    await browser.innocent("the log of an install script");
    await browser.views(folder, "server-install");
    await until("its end", async () => !(await browser.run("return document.querySelector('.install')")));
    await browser.link("Activity");
    await browser.find("//ol//*[contains(., 'install script')]");
  });

  await step("it starts, and says what it likes in its console", async () => {
    if (!/Running|Starting/.test(await browser.word(".server-line"))) await browser.button("Start");
    await until("that it runs", async () => (await browser.word(".server-line")).includes("Running"));
    await browser.link("Console");
    const screen = () => browser.run("return document.querySelector('.xterm-rows')?.textContent ?? ''");
    await until("its lines", async () => (await screen()).includes("<img src=x onerror="));
    await browser.innocent("a console");
  });

  await step("players are counted as the game tells them", async () => {
    await browser.link("Usage");
    await until("players", async () => /Players\s*0 of \d+/.test(await browser.word(".gauges")));
    await browser.find("//section[contains(@class, 'chart')][h3='Players']//canvas");
    await browser.views(folder, "server-players");
  });

  await step("a folder of the node is given to it, and a line that is none is told", async () => {
    await browser.link("Settings");
    const lines = browser.field("Mounts");
    const save = () => browser.click("//form[.//textarea[@name='mounts']]//button[@type='submit']");
    await browser.type(lines, "maps");
    await save();
    await browser.text("This line is not /folder:/folder or /folder:/folder:ro: maps");
    await browser.rewrite(lines, `${machine.maps}:/mnt/maps:ro`);
    await save();
    await browser.find("//*[@class='toasts']//p");
    await browser.button("Restart");
    const mounts = () => {
      const id = asRoot("docker", "ps", "--quiet", "--filter", `label=mamba.server=${server}`);
      return id && asRoot("docker", "inspect", "--format", "{{json .Mounts}}", id);
    };
    await until("the folder in its container", () => mounts().includes("/mnt/maps"));
    assert.match(mounts(), new RegExp(`"Source":"${machine.maps}","Destination":"/mnt/maps","Mode":"[^"]*","RW":false`));
  });

  await step("it is killed when one is sure", async () => {
    await until("that it runs", async () => (await browser.word(".server-line")).includes("Running"));
    await browser.button("Kill");
    await browser.find("//dialog[@open]");
    await browser.views(folder, "server-kill");
    await inDialog("Kill");
    await until("that it is off", async () => !/Running|Stopping/.test(await browser.word(".server-line")));
    await browser.go(`${address}/servers`);
    await browser.find(`//td/a[.='${NAME}']`);
    await browser.innocent("the list of servers");
  });
  return server;
}

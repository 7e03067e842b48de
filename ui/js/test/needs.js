// Steps with a game that says what it needs: its licence is agreed to above the console, it becomes another game, and the
// login of a registry is kept without ever being shown.
import assert from "node:assert/strict";
import { asker } from "./api.js";
import { until } from "./driver.js";

const PHRASE = "You need to agree to the EULA in order to run the server. Go to eula.txt for more info.";
const PASSWORD = "a token of the registry";

// A game that only runs when its licence was agreed to, as Minecraft does.
function licensed() {
  const startup = `grep -qs eula=true eula.txt || { echo '${PHRASE}'; exit 1; }; echo 'it is up'; exec sleep 3600`;
  return blueprint("licensed", "Licensed game", { startup, features: ["eula"], done: [{ contains: "it is up" }] });
}

function blueprint(key, name, more) {
  return {
    format: "MAMBA_v1", key, name, description: "", images: [{ label: "Probe", image: "mamba/probe:1" }], startup: "exec sleep 3600",
    done: [], stop: "SIGKILL", stop_grace_ms: 1_000, ports: [], capabilities: [], variables: [], config_files: [], ...more,
  };
}

// Plays on the node of the server that is called so.
export async function needs({ browser, step, address, folder, admin, password, beside }) {
  const ask = await asker(address, admin, password);
  let server;

  await step("a game that waits for its licence says so above its console, and runs when it is agreed to", async () => {
    const variable = { env: "MOTTO", name: "Motto", description: "", default: "short", user_viewable: true, user_editable: true,
      rules: ["required", { max: 8 }] };
    for (const content of [licensed(), blueprint("other", "Other game", { variables: [variable] })]) {
      await ask("POST", "/blueprints", { content: JSON.stringify(content) });
    }
    const { items: [{ node, tenant }] } = await ask("GET", `/servers?name=${beside}`);
    const limits = { memory_mib: 64, swap_mib: 0, cpu_millicores: 200, disk_mib: 64, pids: 32 };
    const restart = { enabled: false, exit_zero_is_crash: true, delay_ms_min: 1_000, delay_ms_max: 60_000, crashes_max: 5, window_ms: 600_000 };
    const made = await ask("POST", "/servers", { name: "Craft", tenant, node, blueprint: "licensed", limits, restart });
    server = made.server;
    await browser.go(`${address}/servers/${server}/console`);
    await browser.button("Start");
    await browser.text("The licence of the game has to be agreed to");
    await browser.views(folder, "server-need-eula");
    await browser.button("I agree");
    await until("that it runs", async () => (await browser.word(".server-line")).includes("Running"));
    assert.equal(await browser.word(".need"), "");
    assert.equal((await ask("GET", `/servers/${server}`)).eula_accepted, true);
  });

  await step("it becomes another game, and what does not fit is told by its field", async () => {
    await browser.link("Settings");
    const card = "//section[header/h2='Blueprint']";
    await browser.click(`${card}//select[@name='blueprint']/option[.='Other game']`);
    const motto = browser.field("Motto");
    await browser.type(motto, " and much too long");
    await browser.button("Use this blueprint");
    await browser.find(`${card}//input[@aria-invalid='true']`);
    await browser.refused(422);
    await browser.rewrite(motto, "short");
    await browser.views(folder, "server-blueprint");
    await browser.button("Use this blueprint");
    await browser.find("//div[@class='server-line']/span[@class='tag'][.='other']");
    await browser.text("restart needed");
    assert.deepEqual((await ask("GET", `/servers/${server}`)).variables, { MOTTO: "short" });
  });

  await step("the login of a registry is kept, and its password never shown", async () => {
    await browser.go(`${address}/admin/nodes`);
    await browser.button("Add a registry");
    await browser.type(browser.field("Host"), "https://ghcr.io");
    await browser.type(browser.field("Account"), "bot");
    await browser.type(browser.field("Password or token"), PASSWORD);
    await browser.button("Save");
    await browser.find("//dialog//input[@name='host'][@aria-invalid='true']");
    await browser.refused(404, 422);
    await browser.rewrite(browser.field("Host"), "registry.example.org:5000");
    await browser.views(folder, "admin-registry");
    await browser.button("Save");
    await browser.find("//td/code[.='registry.example.org:5000']");
    assert.ok(!(await browser.run("return document.documentElement.outerHTML")).includes(PASSWORD));
    await browser.click("//tr[td/code='registry.example.org:5000']//button[.='Delete']");
    await browser.click("//dialog//button[normalize-space()='Delete']");
    await until("it to go", async () => (await ask("GET", "/registries")).items.length === 0);
  });

  if (server) await ask("DELETE", `/servers/${server}?after_ms=0&retain_ms=0`);
}

// A step with an API key that is bound to a tenant: it is seen there, and ended there. Its owner is signed in.
import assert from "node:assert/strict";
import { ask } from "./api.js";

// `tenant` is what the key is bound to, `owner` the address of who makes it.
export async function bound({ browser, step, address, folder, tenant, owner }) {
  await step("a key bound to a tenant is seen there, ended there, and refused at once", async () => {
    const status = async (token) => (await ask(address, "GET", `/api/v1/tenants/${tenant}`, token)).status;
    await browser.go(`${address}/tenants/${tenant}/api-keys`);
    await browser.text("No API keys");
    await browser.link("Make a key in your account");
    await browser.button("New API key");
    await browser.type(browser.find("//dialog//input[@name='name']"), "deploy <i>");
    await browser.click(`//dialog//select[@name='tenant']/option[@value='${tenant}']`);
    await browser.submit();
    await browser.text("It is shown only now");
    const token = await browser.word("dialog .copyable code");
    assert.equal(await status(token), 200);
    await browser.go(`${address}/tenants/${tenant}/api-keys`);
    const row = `//tr[contains(., 'deploy <i>')][contains(., '${owner}')]`;
    await browser.find(row);
    await browser.views(folder, "tenant-api-keys-one");
    for (const width of [390, 768, 1440]) {
      await browser.size(width, 900);
      const { seen, whole, title } = await browser.run(`
        const box = document.querySelector(".card .table-wrap");
        return { seen: box.clientWidth, whole: box.scrollWidth, title: box.querySelector(".elided").title };`);
      assert.ok(whole <= seen, `the table is ${whole} px wide, its card ${seen}, at ${width}`);
      assert.ok(token.startsWith(title), "what is left out is told by the title");
    }
    await browser.click(`${row}//button[normalize-space()='End']`);
    await browser.text("refused at once");
    await browser.views(folder, "tenant-api-key-end");
    await browser.click("//dialog//button[normalize-space()='End the key']");
    await browser.text("No API keys");
    assert.equal(await status(token), 401);
  });
}

// Steps about accounts: made, changed and deleted by an administrator; the question whether somebody is still
// there; and an account that is closed by its owner. Nobody is signed in, before and afterwards.
import assert from "node:assert/strict";

const MADE = "made@people.example";
const MOVED = "moved@people.example";
const WORD = "a sentence of its own";

// Has the hub say once that it wants a proof first, as it does to who signed in longer ago.
const askFirst = (path) => {
  const real = window.fetch;
  window.fetch = (target, init) => {
    if (target !== path || init?.method !== "POST") return real(target, init);
    window.fetch = real;
    const body = { type: "urn:mamba:problem:confirm_first", title: "t", status: 403, detail: "prove first that it is you",
      code: "confirm_first", request_id: "r" };
    const headers = { "content-type": "application/problem+json" };
    return Promise.resolve(new Response(JSON.stringify(body), { status: 403, headers }));
  };
};

export async function accounts({ browser, step, address, folder, admin, password, friend, friendWord }) {
  const line = (email) => `//tr[td//strong[.='${email}']]`;

  await step("an administrator makes an account, gives it another address, and deletes it", async () => {
    await browser.go(`${address}/admin/users`);
    await browser.signIn(admin, password);
    for (const [email, word] of [[MADE, ""], ["closes@people.example", WORD]]) {
      await browser.button("New account");
      await browser.type(browser.find("//dialog//input[@name='email']"), email);
      if (word) await browser.type(browser.find("//dialog//input[@name='password']"), word);
      else await browser.views(folder, "account-new");
      await browser.submit();
      await browser.closed();
      await browser.find(line(email));
    }
    await browser.click(`${line(MADE)}//button[.='Edit']`);
    await browser.rewrite(browser.find("//dialog//input[@name='email']"), MOVED);
    await browser.views(folder, "account-edit");
    await browser.submit();
    await browser.closed();
    await browser.find(line(MOVED));
    await browser.click(`${line(MOVED)}//button[.='Edit']`);
    await browser.button("Require a new password");
    await browser.submit();
    await browser.closed();
    await browser.click(`${line(MOVED)}//button[.='Edit']`);
    await browser.button("Delete the account");
    await browser.type(browser.find("//dialog//input[@name='confirm']"), MOVED);
    await browser.submit();
    await browser.closed();
    assert.equal(await browser.run("return document.body.textContent.includes(arguments[0])", MOVED), false);
    await browser.signOut();
  });

  await step("who is asked whether it is still there proves it, and what it did happens by itself", async () => {
    await browser.go(`${address}/account/keys`);
    await browser.signIn("closes@people.example", WORD);
    await browser.button("New API key");
    await browser.type(browser.find("//dialog//input[@name='name']"), "later");
    await browser.run(`(${askFirst})("/api/v1/account/api-keys")`);
    await browser.submit();
    const proof = "//dialog[.//h2[.='Is it still you?']]";
    await browser.type(browser.find(`${proof}//input[@name='proof']`), "not this one");
    await browser.click(`${proof}//button[.='It is me']`);
    await browser.find(`${proof}//*[contains(., 'The address or the password is wrong')]`);
    await browser.refused(401);
    await browser.views(folder, "confirm");
    await browser.rewrite(browser.find(`${proof}//input[@name='proof']`), WORD);
    await browser.click(`${proof}//button[.='It is me']`);
    await browser.text("It is shown only now");
    await browser.click("//dialog//button[@aria-label='Close']");
    await browser.text("later");
    // Given up, it is told.
    await browser.button("New API key");
    await browser.type(browser.find("//dialog//input[@name='name']"), "never");
    await browser.run(`(${askFirst})("/api/v1/account/api-keys")`);
    await browser.submit();
    await browser.click(`${proof}//button[.='Cancel']`);
    await browser.text("rove first that it is you");
    await browser.click("//dialog//button[@aria-label='Close']");
    await browser.closed();
  });

  await step("an account is closed by its owner, unless a tenant would be left without one", async () => {
    const close = async (word) => {
      await browser.go(`${address}/account/security`);
      await browser.button("Close the account");
      await browser.type(browser.find("//dialog//input[@name='proof']"), word);
      await browser.submit();
    };
    await close(WORD);
    await browser.field("Password");
    await browser.signIn("closes@people.example", WORD);
    await browser.text("The address or the password is wrong");
    await browser.complaints();
    await browser.go(`${address}/account/security`);
    await browser.signIn(friend, friendWord);
    await browser.find("//button[@aria-label='Sign out']");
    await close(friendWord);
    await browser.text("only owner of");
    await browser.views(folder, "account-close");
    await browser.complaints();
    await browser.click("//dialog//button[@aria-label='Close']");
    await browser.signOut();
  });
}

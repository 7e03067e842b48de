// The hub's API, asked as a program would: not in the page.
import assert from "node:assert/strict";

// Asks for a path of this address, and returns what was answered: `{ status, body }`.
export async function ask(address, method, path, token, body) {
  const headers = { "content-type": "application/json", "idempotency-key": `${Math.random()}` };
  if (token) headers.authorization = `Bearer ${token}`;
  const answer = await fetch(`${address}${path}`, { method, headers, body: body && JSON.stringify(body) });
  const text = await answer.text();
  return { status: answer.status, body: text ? JSON.parse(text) : null };
}

// Signs in. Gives what was answered.
export const login = (address, email, password) => ask(address, "POST", "/api/v1/auth/login", null, { email, password });

// Signs in, and returns what asks as that account for a path below /api/v1: what is refused is a failure, all else
// gives its body.
export async function asker(address, email, password) {
  const signed = await login(address, email, password);
  assert.equal(signed.status, 200, JSON.stringify(signed.body));
  return async (method, path, body) => {
    const answer = await ask(address, method, `/api/v1${path}`, signed.body.access_token, body);
    assert.ok(answer.status < 400, `${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  };
}

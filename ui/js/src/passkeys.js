// Passkeys: what the hub and the browser say to each other, whose binary values the hub writes in base64url.
const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
const named = (keys) => keys?.map((key) => ({ ...key, id: bytes(key.id) }));

function credential(made, response) {
  const { id, rawId, type } = made;
  return JSON.stringify({ id, rawId: text(rawId), type, response, extensions: made.getClientExtensionResults() });
}

// Has a device make a passkey.
export async function create(options) {
  const { publicKey } = JSON.parse(options);
  publicKey.challenge = bytes(publicKey.challenge);
  publicKey.user.id = bytes(publicKey.user.id);
  publicKey.excludeCredentials = named(publicKey.excludeCredentials);
  const made = await navigator.credentials.create({ publicKey });
  const { attestationObject, clientDataJSON } = made.response;
  return credential(made, {
    attestationObject: text(attestationObject),
    clientDataJSON: text(clientDataJSON),
    transports: made.response.getTransports?.() ?? [],
  });
}

// Has a device sign in.
export async function use(options) {
  const { publicKey } = JSON.parse(options);
  publicKey.challenge = bytes(publicKey.challenge);
  publicKey.allowCredentials = named(publicKey.allowCredentials);
  const made = await navigator.credentials.get({ publicKey });
  const { authenticatorData, clientDataJSON, signature, userHandle } = made.response;
  return credential(made, {
    authenticatorData: text(authenticatorData),
    clientDataJSON: text(clientDataJSON),
    signature: text(signature),
    userHandle: userHandle ? text(userHandle) : null,
  });
}

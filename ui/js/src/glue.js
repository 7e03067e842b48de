// What the panel calls in JavaScript. Each library is a file of its own, loaded by the page that needs it.

// Older answers than this are asked for again: what they say may have changed.
const EARLY_MS_MAX = 60_000;

// Gives, once, the answer to what `begin.js` asked for already.
export function early_answer(method, target) {
  const name = `${method} ${target}`;
  const early = window.mambaEarly.get(name);
  window.mambaEarly.delete(name);
  return early !== undefined && performance.now() - early.at < EARLY_MS_MAX ? early.answer : undefined;
}

// What somebody typed into the sign-in of `index.html`, in which field they are, and whether they sent it.
export function typed_early() {
  const form = document.getElementById("early");
  return {
    email: form?.elements.email.value ?? "",
    password: form?.elements.password.value ?? "",
    is_at_password: form !== null && document.activeElement === form.elements.password,
    is_sent: form?.dataset.sent !== undefined,
  };
}

// Shows a terminal in `element` and returns it; see terminal.js.
export async function mount_terminal(element) {
  const { mount } = await import("./terminal.js");
  return mount(element);
}

// Draws a chart in `element` and returns it; see chart.js.
export async function mount_chart(element, isBars, label) {
  const { mount } = await import("./chart.js");
  return mount(element, isBars, label);
}

// Whether a pattern of a blueprint matches; nothing when it is none of JavaScript's. Flags stand in front
// of it, as in `(?i)`.
export function matches_pattern(pattern, value) {
  const [, flags = "", rest] = /^(?:\(\?([ims]+)\))?([^]*)$/.exec(pattern);
  try {
    return new RegExp(rest, `${flags}u`).test(value);
  } catch {
    return undefined;
  }
}

// Gives the reader a text as a file.
export function save_text(name, kind, text) {
  const address = URL.createObjectURL(new Blob([text], { type: kind }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  URL.revokeObjectURL(address);
}

// Whether this browser can use passkeys here: it wants HTTPS or this machine.
export function has_passkeys() {
  return window.isSecureContext && "PublicKeyCredential" in window;
}

// Has a device make a passkey, or sign in with one; see passkeys.js. Fails when a person gives up.
export async function create_passkey(options) {
  return (await import("./passkeys.js")).create(options);
}
export async function use_passkey(options) {
  return (await import("./passkeys.js")).use(options);
}

// How many pixels of an element's content are above what is seen of it, whether it scrolls or the page does.
export function scrolled(element) {
  return element.scrollTop + Math.max(0, -element.getBoundingClientRect().top);
}

// Scrolls a line of links so that the present one is in its middle.
export function show_current(element) {
  const show = () => {
    const it = element.querySelector("[aria-current]");
    if (it !== null) element.scrollLeft = it.offsetLeft - (element.clientWidth - it.offsetWidth) / 2;
  };
  // At once, and when there is more or less room; it ends with the element.
  new ResizeObserver(show).observe(element);
}

// A panic leaves the page on the screen and dead. Says so, with the way out.
let isShown = false;

function show() {
  if (isShown) return;
  isShown = true;
  const box = document.createElement("div");
  box.className = "crash";
  box.setAttribute("role", "alert");
  const text = document.createElement("span");
  text.textContent = "This page has stopped working.";
  const button = document.createElement("button");
  button.className = "btn";
  button.textContent = "Reload";
  button.addEventListener("click", () => location.reload());
  box.append(text, button);
  document.body.append(box);
}

const isOurs = (cause) => cause instanceof WebAssembly.RuntimeError || String(cause).includes("wasm");
addEventListener("error", (event) => isOurs(event.error) && show());
addEventListener("unhandledrejection", (event) => isOurs(event.reason) && show());

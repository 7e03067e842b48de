// Shows the contract of this hub and lets people try it. Everything that comes from the contract or
// from an answer is put in as text, never as markup.
"use strict";

const byId = (id) => document.getElementById(id);

function make(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props || {})) {
    if (name === "data") Object.assign(element.dataset, value);
    else if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

let contract = null;

function resolve(schema) {
  const name = schema && schema.$ref && schema.$ref.split("/").pop();
  return name ? contract.components.schemas[name] || {} : schema || {};
}

function typeName(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.enum) return schema.enum.map((it) => JSON.stringify(it)).join(" | ");
  if ("const" in schema) return JSON.stringify(schema.const);
  const options = schema.anyOf || schema.oneOf;
  if (options) return options.map(typeName).join(" | ");
  const type = Array.isArray(schema.type) ? schema.type.join(" | ") : schema.type || "any";
  return schema.items ? `list of ${typeName(schema.items)}` : type;
}

// An example value; deep or recursive types end in null.
function sample(schema, depth) {
  const it = resolve(schema);
  if (depth > 6) return null;
  if ("default" in it) return it.default;
  if ("const" in it) return it.const;
  if (it.enum) return it.enum[0];
  const options = it.oneOf || it.anyOf;
  if (options) return sample(options[0], depth + 1);
  const type = Array.isArray(it.type) ? it.type[0] : it.type;
  if (type === "object") {
    const out = {};
    const required = new Set(it.required || []);
    for (const [name, field] of Object.entries(it.properties || {})) {
      if (required.has(name)) out[name] = sample(field, depth + 1);
    }
    return out;
  }
  if (type === "array") return [];
  if (type === "integer" || type === "number") return it.minimum || 0;
  if (type === "boolean") return false;
  if (it.format === "uuid") return "00000000-0000-0000-0000-000000000000";
  return type === "string" ? "" : null;
}

function fields(schema) {
  const it = resolve(schema);
  if (!it.properties) return make("p", { className: "muted" }, typeName(schema));
  const required = new Set(it.required || []);
  const rows = Object.entries(it.properties).map(([name, field]) =>
    make("tr", {},
      make("td", {}, name + (required.has(name) ? "" : "?")),
      make("td", { className: "muted" }, typeName(field)),
      make("td", {}, field.description || resolve(field).description || "")));
  return make("table", {}, make("tbody", {}, ...rows));
}

function responses(operation) {
  const rows = Object.entries(operation.responses).map(([status, it]) =>
    make("tr", {}, make("td", {}, status), make("td", {}, it.description)));
  return make("table", {}, make("tbody", {}, ...rows));
}

function tryIt(method, path, operation) {
  const inputs = [];
  const rows = (operation.parameters || []).map((it) => {
    const input = make("input", { type: "text", "aria-label": it.name, placeholder: typeName(it.schema) });
    inputs.push([it, input]);
    return make("tr", {}, make("td", {}, it.name + (it.required ? "" : "?")),
      make("td", {}, input), make("td", {}, it.description || ""));
  });
  const content = operation.requestBody && operation.requestBody.content["application/json"];
  const body = content
    ? make("textarea", { "aria-label": "Body", spellcheck: false, value: JSON.stringify(sample(content.schema, 0), null, 2) })
    : null;
  const output = make("pre", { hidden: true, tabIndex: 0 });
  const button = make("button", { type: "button" }, "Send");
  button.addEventListener("click", async () => {
    button.disabled = true;
    output.hidden = false;
    output.textContent = "Waiting.";
    try {
      output.textContent = await send(method, path, inputs, body && body.value);
    } catch (err) {
      output.textContent = String(err);
    }
    button.disabled = false;
  });
  return make("div", {},
    rows.length ? make("h3", {}, "Parameters") : null,
    rows.length ? make("table", {}, make("tbody", {}, ...rows)) : null,
    body ? make("h3", {}, "Body") : null,
    content ? fields(content.schema) : null,
    body, make("p", {}, button), output);
}

async function send(method, path, inputs, body) {
  const headers = {};
  const query = new URLSearchParams();
  let target = path;
  for (const [it, input] of inputs) {
    if (it.in === "path") target = target.replace(`{${it.name}}`, encodeURIComponent(input.value));
    else if (input.value === "") continue;
    else if (it.in === "query") query.set(it.name, input.value);
    else headers[it.name] = input.value;
  }
  const token = byId("token").value.trim();
  if (token) headers.authorization = `Bearer ${token}`;
  if (body !== null) headers["content-type"] = "application/json";
  const text = query.toString();
  const reply = await fetch(text ? `${target}?${text}` : target, {
    method: method.toUpperCase(), headers, body: body === null ? undefined : body, credentials: "omit",
  });
  const told = ["etag", "retry-after", "ratelimit-remaining", "x-request-id"]
    .filter((name) => reply.headers.has(name))
    .map((name) => `${name}: ${reply.headers.get(name)}`);
  const raw = await reply.text();
  let shown = raw;
  try { shown = JSON.stringify(JSON.parse(raw), null, 2); } catch { /* It is no JSON. */ }
  return [`${reply.status} ${reply.statusText}`, ...told, "", shown].join("\n");
}

function endpoint(method, path, operation) {
  const inside = make("div", { className: "inside" });
  const details = make("details", { id: operation.operationId, data: {
    words: `${operation.operationId} ${method} ${path} ${operation.summary} ${operation.tags}`.toLowerCase(),
  } },
    make("summary", {},
      make("span", { className: "method", data: { method } }, method.toUpperCase()),
      make("code", {}, path), make("span", { className: "muted" }, operation.summary)),
    inside);
  // Filled when it is opened first: there are many.
  details.addEventListener("toggle", () => {
    if (inside.childElementCount) return;
    const good = Object.entries(operation.responses).find(([status, it]) =>
      status.startsWith("2") && it.content);
    inside.append(
      make("p", { className: "muted" }, operation.description || ""),
      tryIt(method, path, operation),
      good ? make("h3", {}, `Answer ${good[0]}`) : "",
      good ? fields(good[1].content["application/json"].schema) : "",
      make("h3", {}, "All answers"), responses(operation));
  });
  return details;
}

function show() {
  const main = byId("main");
  main.replaceChildren(...contract.info.description.split("\n\n").map((text) => make("p", {}, text)));
  for (const tag of contract.tags) {
    const section = make("section", { id: `area-${tag.name}` },
      make("h2", {}, tag.name), make("p", { className: "muted" }, tag.description));
    for (const [path, methods] of Object.entries(contract.paths)) {
      for (const [method, operation] of Object.entries(methods)) {
        if (operation.tags.includes(tag.name)) section.append(endpoint(method, path, operation));
      }
    }
    main.append(section);
    byId("areas").append(make("a", { href: `#area-${tag.name}` }, tag.name));
  }
  byId("version").textContent = contract.info.version;
  const named = location.hash && byId(location.hash.slice(1));
  if (named && "open" in named) named.open = true;
}

function search() {
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const section of document.querySelectorAll("section")) {
    let some = false;
    for (const it of section.querySelectorAll("details")) {
      it.hidden = !words.every((word) => it.dataset.words.includes(word));
      some = some || !it.hidden;
    }
    section.hidden = !some;
  }
}

async function start() {
  byId("search").addEventListener("input", search);
  try {
    contract = await (await fetch("/api/openapi.json", { credentials: "omit" })).json();
    show();
    search();
  } catch (err) {
    byId("main").textContent = `The contract could not be read: ${err}`;
  }
}

start();

// Runs before anything is painted: says which part of `index.html` is seen while the panel is on its way,
// and asks the hub at once for what the panel will ask first. `glue.js` gives both to the panel: the answers,
// and what somebody typed and sent meanwhile.
{
  // As long as the panel waits for an answer (`ui/src/net/requests.rs`).
  const ANSWER_MS_MAX = 25_000;
  // Addresses that are open to everybody, and the ways in that are no sign-in.
  const OPEN = /^\/(?:register|confirm-address|forgot-password|reset-password|auth|invitation|status|legal)(?:\/|$)/;
  const LIST = "/api/v1/servers?limit=200";
  const SERVER = /^\/servers\/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:\/|$)/;

  const kept = (name) => {
    try {
      return localStorage.getItem(name);
    } catch {
      return null;
    }
  };

  const early = new Map();
  const ask = (method, target, headers, body) => {
    const answer = fetch(target, {
      method, headers, body, cache: "no-store", credentials: "same-origin", signal: AbortSignal.timeout(ANSWER_MS_MAX),
    });
    // Whoever takes it hears of it.
    answer.catch(() => {});
    early.set(`${method} ${target}`, { answer, at: performance.now() });
    return answer;
  };

  // Most servers that are shown early: more are on no screen.
  const ROWS_MAX = 60;

  // Shows which servers there are. How they are says the panel, which is here soon after.
  const list = async (asking) => {
    const answer = await asking;
    if (!answer.ok) return;
    const { items } = await answer.clone().json();
    const table = document.querySelector("#early-list tbody");
    // The panel was faster, or has to say that there are none.
    if (table === null || items.length === 0) return;
    const named = items.map((server) => ({ ...server, key: server.name.toLowerCase() }));
    named.sort((a, b) => (a.key < b.key ? -1 : Number(a.key > b.key)));
    for (const { server, name, blueprint } of named.slice(0, ROWS_MAX)) {
      const row = table.insertRow();
      const cells = Array.from(table.closest("table").tHead.rows[0].cells, () => row.insertCell());
      const link = document.createElement("a");
      link.href = `/servers/${server}`;
      link.textContent = name;
      cells[1].className = "cut";
      cells[1].append(link);
      cells[4].className = "muted";
      cells[4].textContent = blueprint;
    }
    document.getElementById("early-wait").hidden = true;
    document.getElementById("early-list").hidden = false;
  };

  // What the page of this address reads first.
  const first = () => {
    const [, server] = SERVER.exec(location.pathname) ?? [];
    if (server !== undefined) return `/api/v1/servers/${server}`;
    return ["/", "/sign-in", "/servers"].includes(location.pathname) ? LIST : undefined;
  };

  const enter = async () => {
    const answer = await ask("POST", "/api/v1/auth/refresh", { "content-type": "application/json" }, "{}");
    if (!answer.ok) return;
    const { access_token: token } = await answer.clone().json();
    const target = first();
    if (target === undefined) return;
    const asking = ask("GET", target, { authorization: `Bearer ${token}` });
    if (target === LIST) await list(asking);
  };

  const root = document.documentElement;
  root.dataset.theme = kept("mamba.theme") ?? "system";
  root.dataset.passkeys = isSecureContext && "PublicKeyCredential" in window ? "yes" : "no";
  window.mambaEarly = early;
  if (OPEN.test(location.pathname)) {
    root.dataset.door = "open";
  } else if (kept("mamba.session") !== null) {
    root.dataset.door = "inside";
    enter().catch(() => {});
  } else {
    root.dataset.door = "outside";
    ask("GET", "/api/v1/auth/providers");
    // Sent before the panel is there: it sends it once it is.
    addEventListener("submit", (event) => {
      const form = event.target;
      if (form.id !== "early") return;
      event.preventDefault();
      form.dataset.sent = "yes";
      form.querySelector("[type=submit]").ariaBusy = "true";
    });
  }
}

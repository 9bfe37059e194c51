// The API reference: tries calls with a key put in at the top, or as the person who is signed in.

const target = document.getElementById("reference");
const state = document.getElementById("key-state");
const csrf = document.querySelector('meta[name="csrf-token"]').content;
let key = "";
document.documentElement.classList.toggle("dark-mode", document.documentElement.dataset.bsTheme === "dark");

/** What stands in a path: an object that the caller sees, so that a call can be tried as it stands. */
const LISTS = {
  order_id: "/api/v1/orders?open=true&limit=1", position_id: "/api/v1/positions?open=true&limit=1", wallet_id: "/api/v1/wallets?limit=1",
  entry_id: "/api/v1/journal/entries?limit=1", ref: "/api/v1/clients?limit=1", client_order_id: "/api/v1/orders?limit=20",
};
const FOR_MASTERS = { fault_id: "/api/v1/admin/faults?open=true&limit=1", user_id: "/api/v1/users?role=trader&limit=1", key_id: "/api/v1/keys?limit=1" };
const pick = { client_order_id: (items) => items.find((order) => order.client_order_id)?.client_order_id, ref: ([client]) => client?.code };

function identified(request) {
  if (key) request.headers["X-API-Key"] = key;
  else if (!["GET", "HEAD"].includes((request.method ?? "GET").toUpperCase())) request.headers["X-CSRFToken"] = csrf;
  return request;
}

async function ask(path) {
  const request = identified({ method: "GET", headers: { Accept: "application/json" } });
  return fetch(path, { ...request, credentials: "same-origin" });
}

const document_ = await (await fetch(target.dataset.url)).json();
// the examples at the address that serves this page
document_.info.description = document_.info.description.replaceAll("http://127.0.0.1:5000", location.origin)
  .replaceAll("ws://127.0.0.1:5000", location.origin.replace("http", "ws"));
const ui = window.SwaggerUIBundle({
  spec: document_, domNode: target, deepLinking: true, validatorUrl: null, defaultModelsExpandDepth: 0, docExpansion: "list", tryItOutEnabled: true,
  requestInterceptor: identified,
});

async function examples() {
  const found = {};
  for (const [name, path] of Object.entries({ ...LISTS, ...(!key && target.dataset.role === "master" ? FOR_MASTERS : {}) })) {
    const answer = await ask(path);
    if (!answer.ok) continue;
    const { items } = await answer.json();
    const value = pick[name] ? pick[name](items) : items[0]?.id;
    if (value) found[name] = value;
  }
  return found;
}

async function fill() {
  const found = await examples();
  for (const item of Object.values(document_.paths)) {
    for (const operation of Object.values(item)) {
      for (const parameter of operation.parameters) if (parameter.in === "path" && found[parameter.name]) parameter.example = found[parameter.name];
    }
  }
  ui.specActions.updateJsonSpec(document_);
}

document.getElementById("key-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  key = event.target.elements.key.value.trim();
  const answer = await ask("/api/v1/market/instruments");
  if (answer.status === 401) {
    key = "";
    state.textContent = "This key is not accepted.";
    return;
  }
  ui.preauthorizeApiKey("key", key);
  state.textContent = `Calls are made with ${key.slice(0, 13)}.`;
  await fill();
  document.body.dataset.filled = "true";
});
if (target.dataset.role) await fill();
document.body.dataset.ready = "true";

// The JSON API, as the signed-in person.

import * as clock from "./clock.js";
import { problemText } from "./failures.js";

export class Problem extends Error {
  /** A refusal: ``status``, ``code``, ``errors`` by field, and whatever else the answer carried. */
  constructor(status, body, method = "GET") {
    super(problemText(body));
    // without an answer of ours nobody knows what became of a request that would change something
    const unknown = method !== "GET" && (status === 0 || (status >= 500 && !body.code));
    Object.assign(this, { status, code: body.code ?? "unknown", errors: body.errors ?? [], body, unknown });
  }
}

const token = () => document.querySelector('meta[name="csrf-token"]').content;

async function send(method, path, body, headers = {}) {
  const options = { method, headers: { Accept: "application/json", ...headers }, credentials: "same-origin" };
  if (method !== "GET") options.headers["X-CSRFToken"] = token();
  if (body !== undefined) {
    const isForm = body instanceof FormData; // whose type, with its boundary, the browser names
    if (!isForm) options.headers["Content-Type"] = "application/json";
    options.body = isForm ? body : JSON.stringify(body);
  }
  let response;
  const sent = Date.now();
  try {
    response = await fetch(path, options);
  } catch {
    throw new Problem(0, {}, method);
  }
  clock.learn(response.headers.get("Date"), sent, Date.now());
  let text;
  try {
    text = await response.text();
  } catch {
    throw new Problem(0, {}, method); // the connection broke within the answer
  }
  let parsed = {};
  try { parsed = text ? JSON.parse(text) : {}; } catch { /* not JSON: a proxy's page */ }
  if (response.status === 401) location.assign(`/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`);
  if (!response.ok) {
    const problem = new Problem(response.status, parsed, method);
    if (problem.code === "proof_required" && (await (await import("./prove.js")).prove())) return send(method, path, body, headers);
    throw problem;
  }
  return parsed;
}

export function query(path, parameters = {}) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== null && value !== undefined && value !== "") search.set(name, value);
  }
  return search.size ? `${path}?${search}` : path;
}

/** Save an answer as a file. */
export async function save(path, name) {
  const response = await fetch(path, { credentials: "same-origin" }).catch(() => { throw new Problem(0, {}); });
  if (!response.ok) throw new Problem(response.status, await response.json().catch(() => ({})));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export const get = (path, parameters) => send("GET", query(path, parameters));
export const post = (path, body = {}, headers) => send("POST", path, body, headers);
export const put = (path, body) => send("PUT", path, body);
export const remove = (path) => send("DELETE", path);

/** A new client_order_id: taken once per dialog, so that what is sent again after a lost answer is done once. */
export function newOrderId() {
  return `web-${[...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
export const patch = (path, body, version) =>
  send("PATCH", path, body, version === undefined ? {} : { "If-Match": `"v${version}"` });

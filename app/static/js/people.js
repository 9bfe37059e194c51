// Who did something: a name, not an id.

import { get } from "./api.js";
import { h } from "./dom.js";
import { t } from "./i18n.js";

const OURS = { system: t("System"), engine: t("Engine") };
const WAIT_MS = 30;
const known = new Map();
let asked = [];

export const isMe = (actor) => actor === `user:${document.body.dataset.user}`;

/** The name of an actor ("user:…", "key:…", "engine"); several asked for in a moment make one request. */
export function nameOf(actor) {
  if (!actor) return Promise.resolve("–");
  if (!actor.includes(":")) return Promise.resolve(OURS[actor] ?? actor);
  if (!known.has(actor)) {
    known.set(actor, new Promise((resolve) => {
      asked.push([actor, resolve]);
      if (asked.length === 1) setTimeout(ask, WAIT_MS);
    }));
  }
  return known.get(actor);
}

async function ask() {
  const waiting = asked;
  asked = [];
  const search = new URLSearchParams(waiting.map(([actor]) => ["actor", actor]));
  const answer = await get(`/account/names?${search}`).catch(() => ({ names: {} }));
  for (const [actor, resolve] of waiting) {
    const name = answer.names[actor];
    if (!name) known.delete(actor);
    const program = actor.startsWith("key:");
    resolve(name ? (program ? t("the key %(name)s", { name }) : name) : program ? t("a program") : t("somebody else"));
  }
}

const clients = new Map();

/** A link to a client by id, named once it is known. */
export function clientLink(id) {
  const node = h("a", { href: `/clients/${id}` }, "…");
  if (!clients.has(id)) clients.set(id, get(`/api/v1/clients/${id}`).then((client) => `${client.code} ${client.name}`).catch(() => id.slice(-8)));
  clients.get(id).then((name) => { node.textContent = name; });
  return node;
}

/** A place for a name, filled once it is known. */
export function who(actor) {
  const node = h("span", { "data-actor": actor }, "…");
  nameOf(actor).then((name) => { node.textContent = name; });
  return node;
}

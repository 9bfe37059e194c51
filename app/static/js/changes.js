// What something was and what it is or would be, beside each other.

import { detailName } from "./audit_words.js";
import { h } from "./dom.js";
import { t } from "./i18n.js";
import { clientLink, who } from "./people.js";
import { role } from "./roles.js";

function shown(value, name) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "boolean") return value ? t("yes") : t("no");
  if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value.join(", ");
  if (typeof value === "object") return listed(value);
  if (name === "role") return role(value);
  if (name === "symbol" && value === "*") return t("All instruments without a limit of their own");
  if (name === "client_id") return clientLink(value);
  if (name === "trader_id" || name === "user_id") return who(`user:${value}`);
  return /^(user|key):/.test(value) ? who(value) : String(value);
}

const listed = (value) => Object.entries(value).map(([name, item]) => `${/^[a-z_]+$/.test(name) ? detailName(name) : name} ${
  typeof item === "object" && item ? JSON.stringify(item) : item ?? "–"}`).join(", ");
const line = (name, ...nodes) => h("div", {}, h("span", { class: "text-secondary" }, `${detailName(name)}: `), nodes);

/** A line for each name whose value differs; either side may be null. */
export function changes(before, after) {
  const [old, fresh] = [before ?? {}, after ?? {}];
  return [...new Set([...Object.keys(fresh), ...Object.keys(old)])]
    .filter((name) => JSON.stringify(old[name] ?? null) !== JSON.stringify(fresh[name] ?? null) && (before || fresh[name] !== false))
    .map((name) => line(name, h("del", { class: "down" }, shown(old[name], name)), " → ", h("ins", { class: "up" }, shown(fresh[name], name))));
}

/** A line for each name that has a value. */
export const facts = (values) => Object.entries(values).filter(([, value]) => value !== null && value !== undefined).map(([name, value]) => line(name, shown(value, name)));

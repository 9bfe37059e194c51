// How a client is verified: the standing, the meters of the limits, what is missing. For the client and for the firm.

import { h } from "./dom.js";
import * as format from "./format.js";
import { t } from "./i18n.js";
import { tag } from "./labels.js";

const STATUSES = {
  none: [t("Not verified"), ""], pending: [t("In review"), "warn"], approved: [t("Verified"), "good"],
  rejected: [t("Verification rejected"), "bad"], expired: [t("Verification expired"), "bad"],
};
const LEVELS = [t("before documents"), t("with documents"), t("after enhanced diligence")];
const ACTS = { deposit: t("Deposits"), withdrawal: t("Withdrawals") };
const MISSING = {
  identity_number: t("Number of the identity document"), born_on: t("Date of birth or foundation"), address: t("Address"),
  occupation: t("Occupation"), source_of_funds: t("Source of funds"), id_front: t("Picture of the document: front"),
  id_back: t("Picture of the document: back"), selfie: t("Picture of your face with the document"),
  proof_of_address: t("Proof of address"), company_papers: t("Papers of the company"),
  representative: t("Legal representative"), beneficial_owner: t("Owners of more than 25 %"),
};

export const levelName = (level) => t("%(level)s, %(words)s", { level, words: LEVELS[level] ?? "" });
export const statusTag = (status) => tag(...(STATUSES[status] ?? [status, ""]));
export const missingName = ({ name }) => MISSING[name] ?? name;

const fact = (name, ...value) => h("div", {}, h("dt", {}, name), h("dd", {}, ...value));

/** The facts of an overview, as GET /kyc/status answers it. */
export function standing(shown) {
  const latest = shown.verification;
  return h("dl", { class: "facts", "data-kyc": shown.status },
    fact(t("Status"), statusTag(shown.status)), fact(t("Level"), levelName(shown.level)),
    fact(shown.status === "expired" ? t("Expired") : t("Valid until"), shown.expires_at ? format.dateTime(shown.expires_at) : "–"),
    latest && latest.status === "pending" && shown.status !== "pending" ? fact(t("In review"), levelName(latest.level)) : null,
    latest?.reason ? fact(t("Reason"), h("span", { class: "long-text" }, latest.reason)) : null);
}

/** How much of each limit is used. */
export function meters(shown) {
  return h("div", { class: "grid-2" }, shown.limits.map((limit) => h("section", { "data-act": limit.act },
    h("h3", { class: "fs-6" }, ACTS[limit.act] ?? limit.act),
    h("p", { class: "small text-secondary mb-2" }, limit.each_usd === null ? t("One at a time: no limit") : t("One at a time: up to %(most)s", { most: format.usd(limit.each_usd) })),
    meter(t("24 hours"), limit.day), meter(t("30 days"), limit.month))));
}

function meter(name, { limit_usd, used_usd, left_usd }) {
  if (limit_usd === null) return h("p", { class: "mb-2" }, t("%(window)s: %(used)s used, no limit", { window: name, used: format.usd(used_usd) }));
  const words = t("%(window)s: %(used)s of %(limit)s used, %(left)s left", { window: name, used: format.usd(used_usd), limit: format.usd(limit_usd), left: format.usd(left_usd) });
  return h("div", { class: "mb-2" }, h("div", { class: "small" }, words),
    h("progress", { max: Number(limit_usd) || 1, value: Number(limit_usd) ? Number(used_usd) : 1, "aria-label": words }));
}

/** What the next level still needs; nothing where nothing is missing. */
export function missing(shown) {
  if (!shown.missing.length) return null;
  return h("section", { "data-missing": shown.missing.length },
    h("h3", { class: "fs-6" }, t("Missing for level %(level)s", { level: shown.next_level })),
    h("ul", { class: "mb-0" }, shown.missing.map((item) => h("li", { "data-name": item.name }, missingName(item)))));
}

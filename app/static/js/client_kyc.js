// The verification of a client, for the firm: how it stands, what the provider told, and deciding on it.

import { get, post } from "./api.js";
import { formDialog } from "./confirm.js";
import { h } from "./dom.js";
import * as format from "./format.js";
import { t } from "./i18n.js";
import { levelName, meters, missing, standing, statusTag } from "./kyc.js";
import * as live from "./live.js";
import { toast } from "./toast.js";

/** Draw the tab of ``client``, an id; ``decide`` says whether the reader may decide. */
export async function clientKyc(node, { client, decide }) {
  const path = `/api/v1/clients/${encodeURIComponent(client)}/kyc`;
  node.classList.add("panel-body");

  async function load() {
    const shown = await get(path);
    const buttons = decide ? h("div", { class: "d-flex gap-2" },
      h("button", { type: "button", class: "btn btn-primary btn-sm", id: "approve-kyc", onclick: () => ask(true, shown) }, t("Approve")),
      h("button", { type: "button", class: "btn btn-quiet btn-sm", id: "reject-kyc", onclick: () => ask(false, shown) }, t("Reject"))) : null;
    const parts = [buttons, standing(shown), missing(shown), meters(shown), shown.verifications.length ? history(shown.verifications) : null];
    node.replaceChildren(h("div", { class: "stack" }, parts.filter(Boolean)));
  }

  async function ask(approve, shown) {
    const pending = shown.verifications.find((one) => one.status === "pending");
    const proposed = pending?.level ?? shown.next_level;
    const level = h("div", { class: "mb-3" }, h("label", { class: "form-label", for: "kyc-level" }, t("Level")),
      h("select", { class: "form-select", id: "kyc-level", name: "level" }, [1, 2].map((one) => h("option", { value: one, selected: one === proposed }, levelName(one)))));
    const reason = h("div", {}, h("label", { class: "form-label", for: "kyc-reason" }, t("Reason")), h("textarea", { class: "form-control", id: "kyc-reason", name: "reason", rows: 3, maxlength: 500 }),
      h("div", { class: "form-text" }, approve ? t("Level 2, and whoever was rejected before, needs a second person.") : t("It holds at once, and the client is told the reason.")));
    const answer = await formDialog(approve ? t("Approve the verification") : t("Reject the verification"), [approve ? level : null, reason], (form) =>
      post(`${path}/decide`, { approve, reason: form.elements.reason.value, ...(approve ? { level: Number(form.elements.level.value) } : {}) }),
    { action: approve ? t("Approve") : t("Reject"), style: approve ? "btn-primary" : "btn-danger" });
    if (answer) toast(answer.approval_id ? t("Proposed to a second person") : t("Decided"), { tone: "good" });
    await load();
  }

  const unhook = live.on("kyc.*", (event) => { if (event.stream === client) load(); });
  await load();
  return { unhook };
}

function history(verifications) {
  const row = (one) => h("tr", {},
    h("td", {}, format.when(one.created_at)), h("td", {}, one.provider), h("td", {}, one.level), h("td", {}, statusTag(one.status)), h("td", { class: "long-text" }, one.reason ?? "–"));
  const heads = [t("Begun"), t("Provider"), t("Level"), t("Status"), t("Reason")];
  return h("div", { class: "table-responsive" }, h("table", { class: "table" }, h("thead", {}, h("tr", {}, heads.map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, verifications.map(row))));
}

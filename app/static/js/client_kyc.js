// The verification of a client, for the firm: how it stands, what the provider told, and deciding on it.

import { get, post } from "./api.js";
import { formDialog } from "./confirm.js";
import { h } from "./dom.js";
import { reasonText } from "./failures.js";
import * as format from "./format.js";
import { t } from "./i18n.js";
import { actName, levelName, meters, missing, standing, statusTag } from "./kyc.js";
import { tag } from "./labels.js";
import * as live from "./live.js";
import { Table } from "./table.js";
import { complain, toast } from "./toast.js";

/** Draw the tab of ``client``, an id; ``decide`` says whether the reader may decide. */
export async function clientKyc(node, { client, decide }) {
  const path = `/api/v1/clients/${encodeURIComponent(client)}/kyc`;
  const standingNow = h("div", { class: "panel-body stack" });
  const answers = h("div", { "data-label": t("What the gate answered") });
  node.replaceChildren(standingNow, h("div", { class: "panel-head" }, h("h2", {}, t("What the gate answered"))), answers);
  const gate = new Table(answers, {
    path: `/api/v1/clients/${encodeURIComponent(client)}/gate`, url: false, name: "gate", size: 10, none: [t("Nothing was asked yet"), t("Deposits and withdrawals are asked about when they are wanted, and again before they are done.")],
    columns: [
      { label: t("Time"), cell: (row) => format.when(row.at), csv: (row) => row.at },
      { label: t("Intended"), cell: (row) => actName(row.act), csv: (row) => row.act },
      { label: t("Value"), end: true, cell: (row) => (row.inputs.amount_usd === null ? "–" : format.usd(row.inputs.amount_usd)), csv: (row) => row.inputs.amount_usd },
      { label: t("Answer"), cell: (row) => (row.allowed ? tag(t("Allowed"), "good") : tag(t("Refused"), "bad")), csv: (row) => row.allowed },
      { label: t("Reason"), wrap: true, cell: (row) => row.reasons.map(reasonText).join(" ") || "–", csv: (row) => row.reasons.map((reason) => reason.code).join(" ") },
    ],
  });

  async function load() {
    const shown = await get(path);
    const buttons = decide ? h("div", { class: "d-flex gap-2" },
      h("button", { type: "button", class: "btn btn-primary btn-sm", id: "approve-kyc", onclick: () => ask(true, shown) }, t("Approve")),
      h("button", { type: "button", class: "btn btn-quiet btn-sm", id: "reject-kyc", onclick: () => ask(false, shown) }, t("Reject"))) : null;
    const parts = [buttons, standing(shown), missing(shown), meters(shown), shown.verifications.length ? history(shown.verifications) : null];
    standingNow.replaceChildren(...parts.filter(Boolean));
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

  live.on("kyc.*", (event) => { if (event.stream === client) load().catch(complain); });
  for (const family of ["deposit.*", "withdrawal.*"]) live.on(family, (event) => { if (event.stream === client) { load().catch(complain); gate.refresh(); } });
  await load();
}

const HISTORY = [
  [t("Begun"), (one) => format.when(one.created_at)], [t("Provider"), (one) => one.provider], [t("Level"), (one) => one.level],
  [t("Status"), (one) => statusTag(one.status)], [t("Reason"), (one) => one.reason ?? "–"],
];

function history(verifications) {
  const rows = verifications.map((one) => h("tr", {}, HISTORY.map(([name, cell]) => h("td", { "data-label": name }, cell(one)))));
  return h("div", { class: "table-wrap", tabindex: "0", role: "region", "aria-label": t("Verifications") },
    h("table", { class: "list cards-on-phone" }, h("thead", {}, h("tr", {}, HISTORY.map(([name]) => h("th", { scope: "col" }, name)))), h("tbody", {}, rows)));
}

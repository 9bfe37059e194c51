// What providers reported and does not fit: both sides, and what was done about it.

import { post } from "../api.js";
import { formDialog } from "../confirm.js";
import { $, h } from "../dom.js";
import * as format from "../format.js";
import { t } from "../i18n.js";
import { label, shortId, tag } from "../labels.js";
import * as live from "../live.js";
import { who } from "../people.js";
import { Table } from "../table.js";

const root = $("#list");
const side = (told) => (told.amount ? format.money(told.amount, told.currency) : told.error ?? "–");

const table = new Table(root, {
  path: "/api/v1/deposits/mismatches", name: "mismatches", filters: $("#filters"),
  none: [t("Everything fits"), t("A payment that does not fit its deposit appears here.")],
  columns: [
    { label: t("Time"), cell: (row) => format.when(row.created_at), csv: (row) => row.created_at },
    { label: t("What does not fit"), wrap: true, cell: (row) => tag(row.code, "bad"), csv: (row) => label(row.code) },
    { label: t("Deposit"), cell: (row) => (row.deposit_id ? h("a", { href: `/deposits/${row.deposit_id}` }, shortId(row.deposit_id)) : "–"), csv: (row) => row.deposit_id },
    { label: t("Expected"), end: true, cell: (row) => side(row.expected), csv: (row) => row.expected.amount },
    { label: t("Reported"), end: true, cell: (row) => side(row.found), csv: (row) => row.found.amount },
    { label: t("Report"), wrap: true, cell: (row) => `${row.provider} · ${row.type}`, csv: (row) => row.provider_event_id },
    { label: t("Resolution"), wrap: true, cell: resolution, csv: (row) => row.resolution },
  ],
});

function resolution(row) {
  if (row.resolved_at) return h("span", {}, row.resolution, h("span", { class: "small text-secondary d-block" }, who(row.resolved_by), ` · ${format.when(row.resolved_at)}`));
  if (root.dataset.handle !== "true") return tag("OPEN", "warn");
  return h("button", { type: "button", class: "btn btn-quiet btn-sm", onclick: () => resolve(row) }, t("Resolve"));
}

async function resolve(row) {
  const fields = [
    h("p", { class: "text-secondary" }, t("This notes what was done; it moves no money. Refund the payer at the provider first.")),
    h("label", { class: "form-label", for: "resolution" }, t("What was done")),
    h("textarea", { class: "form-control", id: "resolution", name: "resolution", rows: 3, maxlength: 500 }),
  ];
  const saved = await formDialog(t("Resolve mismatch"), fields, (form) => post(`/api/v1/deposits/mismatches/${row.id}/resolve`, { resolution: form.elements.resolution.value.trim() }), { action: t("Resolve") });
  if (saved) table.load();
}

live.on("alert.deposit", () => table.refresh());
live.on("reset", () => table.load());
root.dataset.ready = "true";

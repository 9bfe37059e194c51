// The inbox of what waits for a second person: exactly what is proposed, who has said what, approve or reject.

import { post } from "../api.js";
import { changes, facts } from "../changes.js";
import { formDialog } from "../confirm.js";
import { $, h } from "../dom.js";
import * as format from "../format.js";
import { t } from "../i18n.js";
import { tag } from "../labels.js";
import * as live from "../live.js";
import { clientLink, isMe, who } from "../people.js";
import { complain, toast } from "../toast.js";
import { Table } from "../table.js";

const root = $("#list");
const kinds = JSON.parse(root.dataset.kinds);
const statuses = JSON.parse(root.dataset.statuses);
const TONES = { pending: "warn", approved: "info", executed: "good", failed: "bad", rejected: "bad", expired: "bad", voided: "bad" };
const PAGES = { staff: "users", withdrawal: "withdrawals", deposit: "deposits" };

/** The proposal as it will be done: before and after where something changes, then the rest of it. */
function content(row) {
  const { before, after, client_id: client, ...rest } = row.content ?? {};
  const changed = before !== undefined || after !== undefined ? changes(before, after) : [];
  return h("div", { class: "small long-text" }, changed, facts(row.client_id ? rest : { ...rest, client_id: client }));
}

function subject(row) {
  const name = kinds[row.kind] ?? row.kind;
  const page = PAGES[row.kind] && h("a", { href: `/${PAGES[row.kind]}/${row.object_id}` }, name);
  return h("div", {}, h("div", { class: "fw-semibold" }, page ?? name), row.client_id && clientLink(row.client_id));
}

function votes(row) {
  const cast = row.votes.map((vote) => h("div", { class: "small" }, tag(vote.approves ? t("Approved") : t("Rejected"), vote.approves ? "good" : "bad"), " ",
    vote.checker_name ?? who(vote.checker), vote.reason ? `: ${vote.reason}` : ""));
  const agreed = row.votes.filter((vote) => vote.approves).length;
  return h("div", {}, cast, row.required > 1 && h("div", { class: "small text-secondary" }, t("%(agreed)s of %(required)s have agreed", { agreed, required: row.required })));
}

function status(row) {
  const note = row.status === "pending" ? t("until %(time)s", { time: format.when(row.expires_at) }) : row.votes.some((vote) => vote.reason === row.reason) ? null : row.reason;
  return h("div", {}, tag(statuses[row.status] ?? row.status, TONES[row.status]), note && h("div", { class: "small text-secondary long-text" }, note));
}

function buttons(row) {
  if (!row.may_decide) return row.status === "pending" && isMe(row.maker) ? h("span", { class: "small text-secondary" }, t("Proposed by you")) : "";
  const named = (word) => `${word}: ${row.summary}`;
  return h("div", { class: "row-actions" },
    h("button", { type: "button", class: "btn btn-sm btn-primary", "data-approve": row.id, "aria-label": named(t("Approve")), onclick: () => decide(row, true) }, t("Approve")),
    h("button", { type: "button", class: "btn btn-sm btn-quiet", "data-reject": row.id, "aria-label": named(t("Turn down")), onclick: () => decide(row, false) }, t("Turn down")));
}

async function decide(row, approve) {
  const fields = [h("div", { class: "mb-3" }, subject(row), content(row)), h("p", { class: "small" }, t("Proposed by"), " ", row.maker_name ?? who(row.maker), ", ", format.dateTime(row.created_at)),
    h("label", { class: "form-label", for: "reason" }, approve ? t("Note (optional)") : t("Why not?")), h("textarea", { class: "form-control", id: "reason", name: "reason", rows: 2, maxlength: 500 })];
  const title = approve ? t("Approve this?") : t("Reject this?");
  const done = await formDialog(title, fields, (form) => post(`/api/v1/approvals/${row.id}/${approve ? "approve" : "reject"}`,
    { content_hash: row.content_hash, ...(form.elements.reason.value.trim() ? { reason: form.elements.reason.value.trim() } : {}) }),
  { action: approve ? t("Approve") : t("Turn down"), style: approve ? "btn-primary" : "btn-sell" });
  if (done) toast(statuses[done.status] ?? done.status, { tone: TONES[done.status], detail: done.status === "failed" ? done.reason ?? "" : "" });
  table.load().catch(complain);
}

const table = new Table(root, {
  path: "/api/v1/approvals", name: "approvals", filters: $("#filters"), none: [t("Nothing waits"), t("What needs a second person appears here.")],
  columns: [
    { label: t("About"), wrap: true, cell: subject, csv: (row) => row.summary },
    { label: t("What is proposed"), wide: true, cell: content, csv: (row) => JSON.stringify(row.content) },
    { label: t("Value"), end: true, cell: (row) => (row.amount_usd === "0" ? "–" : format.usd(row.amount_usd)), csv: (row) => row.amount_usd },
    { label: t("Proposed"), cell: (row) => h("div", {}, row.maker_name ?? who(row.maker), h("div", { class: "small text-secondary" }, format.dateTime(row.created_at))), csv: (row) => row.maker_name ?? row.maker },
    { label: t("Decided"), wrap: true, cell: votes, csv: (row) => row.votes.map((vote) => `${vote.approves ? "+" : "-"} ${vote.checker_name ?? vote.checker}`).join("; ") },
    { label: t("Status"), wrap: true, cell: status, csv: (row) => row.status },
    { label: "", cell: buttons },
  ],
});
live.on("approval.*", () => table.refresh());
live.on("reset", () => table.load());
live.start();
root.dataset.ready = "true";

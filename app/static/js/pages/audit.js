// The audit trail: search, before and after, verify.

import { get, query, save } from "../api.js";
import { action, actorName, objectName, objectPage, objectType } from "../audit_words.js";
import { changes, facts } from "../changes.js";
import { $, $$, h } from "../dom.js";
import * as format from "../format.js";
import { t } from "../i18n.js";
import { tag } from "../labels.js";
import { Table } from "../table.js";
import { complain } from "../toast.js";

const root = $("#list");
const picker = $("#f-action");
picker.append(...JSON.parse(picker.dataset.actions).map((code) => [action(code), code]).sort(([a], [b]) => a.localeCompare(b)).map(([text, code]) => h("option", { value: code }, text)));

/** Before and after beside each other where the record has both, then whatever else it says. */
function details(row) {
  if (!row.readable) return [h("span", { class: "tag tag-bad" }, t("not readable")), h("pre", { class: "messages" }, String(row.details))];
  const { previous, changed, limit, ...rest } = row.details ?? {};
  const after = changed ?? limit;
  const both = after || (previous && typeof previous === "object");
  const lines = [...(both ? changes(previous, after) : []), ...facts(both ? rest : { ...rest, previous })];
  return lines.length ? h("div", { class: "small long-text" }, lines) : "–";
}

function about(row) {
  const page = objectPage(row);
  const text = `${objectType(row.object_type)} ${objectName(row)}`;
  return page ? h("a", { href: page }, text) : text;
}

const table = new Table(root, {
  path: "/api/v1/admin/audit", name: "audit", filters: $("#filters"), none: [t("Nothing recorded yet"), t("Privileged changes are recorded here, chained by hash.")],
  columns: [
    { label: t("Number"), cell: (row) => (row.seq === null ? "…" : `#${row.seq}`), csv: (row) => row.seq },
    { label: t("Time"), cell: (row) => h("time", { datetime: row.at, title: row.at }, format.dateTime(row.at)), csv: (row) => row.at },
    { label: t("Who"), wrap: true, cell: (row) => h("span", { title: row.actor }, actorName(row)), csv: (row) => row.actor_label ?? row.actor },
    { label: t("Action"), cell: (row) => h("span", { title: row.action }, action(row.action)), csv: (row) => row.action },
    { label: t("About"), cell: about, csv: (row) => `${row.object_type} ${row.object_id}` },
    { label: t("Before and after"), wide: true, cell: details, csv: (row) => JSON.stringify(row.details) },
    { label: t("Address"), cell: (row) => row.ip ?? "–", csv: (row) => row.ip },
  ],
});

for (const link of $$("[data-export]")) {
  link.addEventListener("click", async () => {
    link.disabled = true;
    try {
      await save(query("/api/v1/admin/audit/export", { ...table.parameters(), format: link.dataset.export }), `audit.${link.dataset.export}`);
    } catch (problem) {
      complain(problem);
    } finally {
      link.disabled = false;
    }
  });
}

const button = $("#verify");
button.addEventListener("click", async () => {
  const panel = $("#verify-panel");
  const result = $("#verify-result");
  panel.hidden = false;
  button.disabled = true;
  result.replaceChildren(h("progress", { "aria-label": t("Verifying") }));
  try {
    const answer = await get("/api/v1/admin/audit/verify");
    result.replaceChildren(
      h("p", { class: "mb-1" }, answer.ok ? tag(t("The chain is whole"), "good") : tag(t("%(n)s breaks found", { n: answer.breaks.length }), "bad")),
      h("p", { class: "mb-1" }, t("%(n)s records, %(waiting)s not chained yet", { n: format.number(String(answer.records)), waiting: format.number(String(answer.unchained)) })),
      h("p", { class: "mb-0 small text-secondary long-text" }, t("Head: "), h("code", { class: "code" }, answer.head ?? "–")),
      answer.breaks.length ? h("ul", { class: "mt-2 mb-0" }, answer.breaks.map((item) => h("li", {}, `#${item.seq}: ${item.problem}`))) : "");
  } catch (problem) {
    result.replaceChildren(h("p", { class: "text-danger mb-0" }, problem.message));
  } finally {
    button.disabled = false;
  }
});
root.dataset.ready = "true";

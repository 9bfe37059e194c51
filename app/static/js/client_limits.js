// Limits of a client: what the firm lets one order be, by instrument or for all.

import { get, put, remove } from "./api.js";
import { confirm, formDialog } from "./confirm.js";
import { typed } from "./decimal.js";
import { h } from "./dom.js";
import * as format from "./format.js";
import { t } from "./i18n.js";
import { tag } from "./labels.js";
import * as live from "./live.js";
import { MiniTable } from "./mini_table.js";
import { complain, toast } from "./toast.js";

const ALL = "*";
const proposed = () => [t("Proposed"), { tone: "info", detail: t("It holds once a second person has agreed.") }];
const instrumentName = (symbol) => (symbol === ALL ? t("All instruments without a limit of their own") : symbol);

/** Draw the tab of ``client``, a code, with its ``id``; ``set`` says whether the reader may change limits. */
export async function limits(node, { client, id, instruments, set }) {
  const path = `/api/v1/clients/${encodeURIComponent(client)}/limits`;
  const list = h("div", { "data-label": t("Limits") });
  const base = (symbol) => instruments.find((item) => item.symbol === symbol)?.base ?? "";
  const table = new MiniTable(list, {
    most: 500, sort: (a, b) => (a.symbol < b.symbol ? -1 : 1), none: [t("No limits"), t("Each order may be as large as the wallet's limits and balance allow."), "shield-check"],
    columns: [
      { label: t("Instrument"), cell: (row) => h("span", { class: "long-text" }, instrumentName(row.symbol)) },
      { label: t("Trading"), cell: (row) => (row.blocked ? tag(t("Blocked"), "bad") : tag(t("Allowed"), "good")) },
      { label: t("Most per order"), end: true, cell: (row) => (row.max_order_qty ? `${format.number(row.max_order_qty)} ${base(row.symbol)}` : "–") },
      { label: t("Most value per order"), end: true, cell: (row) => format.usd(row.max_notional_usd) },
      { label: t("Hours"), cell: (row) => (row.hours ? `${row.hours} ${row.time_zone}` : t("always")) },
      ...(set ? [{ label: "", cell: buttons }] : []),
    ],
  });

  live.on("client.*", ({ type, stream }) => { if (type.startsWith("client.limit_") && stream === id) load(); });

  async function load() {
    table.set((await get(path)).items);
  }

  function buttons(row) {
    const named = (word) => `${word}: ${instrumentName(row.symbol)}`;
    return h("div", { class: "row-actions" },
      h("button", { type: "button", class: "btn btn-sm btn-quiet", "aria-label": named(t("Change")), onclick: () => edit(row) }, t("Change")),
      h("button", { type: "button", class: "btn btn-sm btn-quiet", "aria-label": named(t("Lift")), onclick: () => lift(row) }, t("Lift")));
  }

  async function lift(row) {
    if (!(await confirm(t("Lift the limit?"), t("%(what)s: orders are no longer held to it once a second person has agreed.", { what: instrumentName(row.symbol) }), { action: t("Propose") }))) return;
    try {
      await remove(`${path}/${row.id}`);
      toast(...proposed());
    } catch (problem) {
      complain(problem);
    }
    await load();
  }

  async function edit(row = null) {
    const field = (name, text, value, unit = null, hint = null) => h("div", { class: "mb-3" }, h("label", { class: "form-label", for: `limit-${name}` }, text),
      h("div", { class: "input-group" }, h("input", { class: "form-control", type: "text", id: `limit-${name}`, name, value: value ?? "", autocomplete: "off", placeholder: hint }), unit && h("span", { class: "input-group-text" }, unit)));
    const taken = new Set([...table.rows.values()].map((known) => known.symbol)); // those are changed, not replaced unseen
    const free = [ALL, ...instruments.map((item) => item.symbol)].filter((name) => !taken.has(name));
    const symbol = row ? h("input", { type: "hidden", name: "symbol", value: row.symbol })
      : h("div", { class: "mb-3" }, h("label", { class: "form-label", for: "limit-symbol" }, t("Instrument")), h("select", { class: "form-select", id: "limit-symbol", name: "symbol" },
        free.map((name) => h("option", { value: name }, instrumentName(name)))));
    const saved = await formDialog(row ? t("Limit: %(what)s", { what: instrumentName(row.symbol) }) : t("New limit"), [
      symbol,
      h("div", { class: "form-check mb-3" }, h("input", { class: "form-check-input", type: "checkbox", id: "limit-blocked", name: "blocked", checked: row?.blocked }), h("label", { class: "form-check-label", for: "limit-blocked" }, t("Blocked: no orders at all"))),
      field("max_order_qty", t("Most per order"), row?.max_order_qty, t("base currency")), field("max_notional_usd", t("Most value per order"), row?.max_notional_usd, "USD"),
      field("hours", t("Hours"), row?.hours, null, "09:00-17:30"), field("time_zone", t("Time zone"), row?.time_zone, null, "America/Lima"),
      h("p", { class: "form-text mb-0" }, t("Empty is not limited. A limit for an instrument is taken in place of the one for all.")),
    ], (form) => {
      const text = (name) => form.elements[name].value.trim() || null;
      return put(path, {
        symbol: form.elements.symbol.value, blocked: form.elements.blocked.checked, hours: text("hours"), time_zone: text("time_zone"),
        max_order_qty: typed(form.elements.max_order_qty.value) || null, max_notional_usd: typed(form.elements.max_notional_usd.value) || null,
      });
    }, { action: t("Propose") });
    if (saved) toast(...proposed());
    await load();
  }

  node.replaceChildren(...(set ? [h("div", { class: "p-3 pb-0 text-end" }, h("button", { type: "button", class: "btn btn-primary btn-sm", id: "new-limit", onclick: () => edit() }, t("New limit")))] : []), list);
  await load();
}

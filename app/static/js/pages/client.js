// One client: tabs that load when they are opened first.

import { get, post } from "../api.js";
import { bankAccounts } from "../bank_accounts.js";
import { clientForm } from "../client_form.js";
import { about, orderColumns, positionColumns, walletColumns } from "../columns.js";
import { confirm, formDialog } from "../confirm.js";
import { documents } from "../documents.js";
import { $, $$, empty, h } from "../dom.js";
import { clientKyc } from "../client_kyc.js";
import { limits } from "../client_limits.js";
import * as format from "../format.js";
import { t } from "../i18n.js";
import { eventLabel, tag } from "../labels.js";
import * as live from "../live.js";
import { openWallet } from "../open_wallet.js";
import { relatedPersons } from "../related_persons.js";
import { Table } from "../table.js";
import { complain } from "../toast.js";

const root = $("#client");
const id = root.dataset.client;
const codes = JSON.parse(root.dataset.countries);
const fixed = { client_id: id };
const nothing = { tick: () => null, quote: () => null };
const tables = {};

const openers = {
  wallets: (node) => new Table(node, { path: "/api/v1/wallets", columns: walletColumns({}).filter((column) => column.label !== t("Value")), fixed, url: false, name: "wallets", none: [t("No wallets yet"), t("Open one to let this client trade.")] }),
  orders: (node) => new Table(node, { path: "/api/v1/orders", columns: orderColumns(nothing), fixed, url: false, name: "orders", none: [t("No orders yet"), ""] }),
  positions: (node) => new Table(node, { path: "/api/v1/positions", columns: positionColumns(nothing), fixed, url: false, name: "positions", none: [t("No positions yet"), ""] }),
  movements: (node) => new Table(node, { path: "/api/v1/journal/entries", columns: journalColumns(), fixed, url: false, name: "journal", none: [t("The journal is empty"), ""] }),
  limits: (node) => limits(node, { client: root.dataset.code, id, instruments: JSON.parse(root.dataset.instruments), set: root.dataset.setLimits === "true" }),
  accounts: (node) => bankAccounts(node, { client: root.dataset.code, write: root.dataset.writeAccounts === "true" }),
  kyc: (node) => clientKyc(node, { client: id, decide: root.dataset.decideKyc === "true" }),
  documents: (node) => documents(node, { client: id, edit: root.dataset.addDocuments === "true" }),
  related: (node) => relatedPersons(node, { client: root.dataset.code, edit: root.dataset.edit === "true", codes }),
  timeline,
};

function journalColumns() {
  return [
    { label: t("Number"), cell: (row) => h("a", { href: `/journal/${row.id}` }, `#${row.number}`), csv: (row) => row.number },
    { label: t("Time"), cell: (row) => format.when(row.at), csv: (row) => row.at },
    { label: t("Kind"), cell: (row) => tag(row.kind), csv: (row) => row.kind },
    { label: t("About"), cell: about, csv: (row) => row.about_id },
    { label: t("Memo"), key: "memo" },
  ];
}

const SHOWN = 100;
const SILENT = "wallet.balance"; // every posting has one; the journal tells of them

/** The client's own stream, the newest first; older ones on demand. */
async function timeline(node) {
  node.classList.add("panel-body");
  const items = [];
  let before = null;
  const list = h("ol", { class: "timeline" });
  const more = h("button", { type: "button", class: "btn btn-quiet btn-sm mt-2", onclick: () => older() }, t("Older"));
  const line = (event) => h("li", { class: { "order.filled": "good", "order.rejected": "bad", "client.blocked": "bad" }[event.type] ?? null, "data-event": event.id },
    h("div", { class: "fw-semibold" }, eventLabel(event.type), event.data.symbol ? ` · ${event.data.symbol}` : ""), h("div", { class: "when" }, format.dateTime(event.at)));
  const draw = () => {
    list.replaceChildren(...items.map(line));
    node.replaceChildren(...(items.length ? [list] : [empty(t("Nothing has happened yet"), t("Orders, positions and wallets leave their marks here."))]), ...(before ? [more] : []));
  };
  async function older() {
    const answer = await get("/api/v1/events", { client_id: id, order: "newest", before, without: SILENT, limit: SHOWN });
    items.push(...answer.items.filter((event) => !items.some((known) => known.id === event.id)));
    before = answer.has_more ? answer.cursor : null;
    draw();
  }
  for (const family of ["order.*", "position.*", "wallet.*", "execution.*", "client.*", "deposit.*", "withdrawal.*", "kyc.*"]) {
    live.on(family, (event) => {
      if (event.stream !== id || event.type === SILENT || event.type === "position.sample" || items.some((known) => known.id === event.id)) return;
      items.unshift(event);
      draw();
    });
  }
  await older();
}

for (const button of $$("[data-bs-toggle=tab]")) {
  button.addEventListener("shown.bs.tab", () => {
    const node = $("[data-tab]", $(button.dataset.bsTarget));
    if (node && !tables[node.dataset.tab]) tables[node.dataset.tab] = openers[node.dataset.tab](node);
    history.replaceState(null, "", `#${button.id.replace("tab-", "")}`);
  });
}
if (location.hash) $(`#tab-${CSS.escape(location.hash.slice(1))}`)?.click();

live.on("order.*", ({ data }) => { if (data.client_id === id && tables.orders && !tables.orders.update(data)) tables.orders.refresh(); });
for (const type of ["position.opened", "position.updated", "position.closed"]) {
  live.on(type, ({ data }) => { if (data.client_id === id && tables.positions && !tables.positions.update(data)) tables.positions.refresh(); });
}
live.start();

const wallet = $("#new-wallet");
wallet?.addEventListener("click", async () => {
  const opened = await openWallet([{ code: wallet.dataset.client, name: $("h1").textContent }]);
  if (opened) location.assign(`/wallets/${opened.id}`);
});

const edit = $("#edit-client");
edit?.addEventListener("click", async () => {
  const client = JSON.parse(edit.dataset.client);
  if (await clientForm({ client, traders: JSON.parse(edit.dataset.traders), codes })) location.reload();
});

$("#block-client")?.addEventListener("click", async () => {
  const blocked = await formDialog(t("Block the client?"), [
    h("p", {}, t("Its people are signed out, its keys are refused, its orders are rejected. The client does not read the reason.")),
    h("div", {}, h("label", { class: "form-label", for: "block-reason" }, t("Reason")), h("input", { class: "form-control", id: "block-reason", name: "reason", maxlength: "300", autocomplete: "off" })),
  ], (form) => post(`/api/v1/clients/${id}/block`, { reason: form.elements.reason.value.trim() }), { action: t("Block"), style: "btn-danger" });
  if (blocked) location.reload();
});
$("#unblock-client")?.addEventListener("click", async () => {
  if (!(await confirm(t("Unblock the client?"), t("It may sign in and trade again."), { action: t("Unblock") }))) return;
  try {
    await post(`/api/v1/clients/${id}/unblock`);
    location.reload();
  } catch (problem) {
    complain(problem);
  }
});
root.dataset.ready = "true";

// The list pages: orders, positions, wallets, clients, journal.

import { get } from "../api.js";
import { clientForm, identityName } from "../client_form.js";
import { about, clientNames, orderColumns, pnl, positionColumns, ticks, walletColumns } from "../columns.js";
import { $, h, setText } from "../dom.js";
import * as format from "../format.js";
import { t } from "../i18n.js";
import { accountName, label, tag } from "../labels.js";
import * as live from "../live.js";
import { who } from "../people.js";
import { openWallet } from "../open_wallet.js";
import { Table } from "../table.js";

const root = $("#list");
const filters = $("#filters");
const staff = root.dataset.staff === "true";
const client = staff ? clientNames(root) : null;
const kinds = { orders, positions, wallets, clients, journal };

function follow(table, types) {
  for (const type of types) live.on(type, ({ data }) => { if (!table.update(data) && table.page === 1) table.refresh(); });
}

function orders() {
  const table = new Table(root, {
    path: "/api/v1/orders", columns: orderColumns({ ...ticks(root), client }), filters, name: "orders",
    none: [t("No orders yet"), t("They appear here as soon as one is sent.")],
  });
  follow(table, ["order.*"]);
  return table;
}

function positions() {
  const table = new Table(root, {
    path: "/api/v1/positions", columns: positionColumns({ ...ticks(root), client }), filters, name: "positions",
    none: [t("No positions yet"), t("They open with the first fill of an order.")],
  });
  follow(table, ["position.opened", "position.updated", "position.closed", "position.protection"]);
  live.on("position.sample", ({ id, current }) => {
    const row = table.rows.find((known) => known.id === id);
    if (!row || row.status === "CLOSED") return;
    row.current = { ...row.current, ...current };
    $(`[data-pnl="${id}"]`, root)?.replaceWith(pnl(current.unrealized_pnl, row.quote_currency, id));
  });
  return table;
}

function wallets() {
  const table = new Table(root, {
    path: "/api/v1/wallets", columns: walletColumns({ client }), filters, name: "wallets",
    none: [t("No wallets yet"), staff ? t("Open one for a client to let them trade.") : t("The firm opens one for you.")],
  });
  const draw = table.draw.bind(table);
  table.draw = () => { draw(); table.rows.forEach(value); };
  const value = async (wallet) => {
    const answer = await get(`/api/v1/wallets/${wallet.id}/balances`).catch(() => null);
    setText($(`[data-total="${wallet.id}"]`, root), answer ? format.usd(answer.total_usd) : "–");
  };
  live.on("wallet.*", ({ type }) => { if (type !== "wallet.balance") table.refresh(); });
  const button = $("#new-wallet");
  button?.addEventListener("click", async () => { if (await openWallet(JSON.parse(button.dataset.clients))) table.load(); });
  return table;
}

const STATUSES = { active: t("Active"), inactive: t("Inactive"), blocked: t("Blocked by the firm") };

function clients() {
  const traders = new Map(JSON.parse(root.dataset.traders).map((trader) => [trader.id, trader.name]));
  const columns = [
    { label: t("Code"), cell: (row) => h("a", { href: `/clients/${encodeURIComponent(row.code)}` }, row.code), csv: (row) => row.code },
    { label: t("Name"), key: "name", wrap: true },
    { label: t("Email"), key: "email" },
    traders.size ? { label: t("Trader"), cell: (row) => traders.get(row.trader_id) ?? "–", csv: (row) => traders.get(row.trader_id) } : null,
    { label: t("Document"), cell: (row) => (row.identity_number ? `${identityName(row.identity_type)} ${row.identity_number}` : "–"), csv: (row) => row.identity_number },
    { label: t("Status"), cell: (row) => tag(STATUSES[row.status], row.status === "active" ? "good" : "bad"), csv: (row) => STATUSES[row.status] },
    { label: t("Registered"), cell: (row) => format.dateTime(row.created_at), csv: (row) => row.created_at },
  ].filter(Boolean);
  const table = new Table(root, {
    path: "/api/v1/clients", columns, filters, name: "clients",
    none: [t("No clients yet"), t("Register the first one with New client.")],
  });
  const button = $("#new-client");
  button?.addEventListener("click", async () => {
    const created = await clientForm({ traders: JSON.parse(button.dataset.traders), codes: JSON.parse(button.dataset.countries) });
    if (created) location.assign(`/clients/${encodeURIComponent(created.code)}`);
  });
  const file = $("#export");
  file?.addEventListener("click", () => { file.href = `/api/v1/clients/export${location.search.replace(/([?&])(page|limit|offset|sort)=[^&]*/g, "$1")}`; });
  return table;
}

function journal() {
  const lines = (row) => h("div", { class: "small" }, row.postings.map((line) => h("div", { class: "d-flex gap-3 justify-content-between" },
    h("span", {}, h("span", { class: "text-secondary num" }, line.code), " ", accountName(line.name), line.wallet_id ? "" : ` · ${label(line.owner)}`),
    h("span", { class: `num ${format.tone(line.amount)}` }, format.money(line.amount, line.currency, { plus: true })))));
  const owners = (row) => [...new Set(row.postings.map((line) => line.client_id).filter(Boolean))].map((id) => client(id)).join(", ") || "–";
  const columns = [
    { label: t("Number"), cell: (row) => h("a", { href: `/journal/${row.id}` }, `#${row.number}`), csv: (row) => row.number },
    { label: t("Time"), cell: (row) => format.when(row.at), csv: (row) => row.at },
    { label: t("Kind"), cell: (row) => tag(row.kind, { trade: "info", deposit: "good", reversal: "bad" }[row.kind] ?? ""), csv: (row) => row.kind },
    client && { label: t("Client"), cell: (row) => owners(row), csv: (row) => owners(row) },
    { label: t("About"), cell: (row) => about(row), csv: (row) => `${row.about_type} ${row.about_id}` },
    { label: t("Postings"), wide: true, cell: lines, csv: (row) => row.postings.map((line) => `${line.code} ${line.account} ${line.amount} ${line.currency}`).join("; ") },
    { label: t("Booked by"), cell: (row) => who(row.created_by), csv: (row) => row.created_by },
  ].filter(Boolean);
  const table = new Table(root, {
    path: "/api/v1/journal/entries", columns, filters, name: "journal",
    none: [t("The journal is empty"), t("Every movement of money is one balanced entry here.")],
  });
  live.on("wallet.balance", () => { if (table.page === 1) table.refresh(); });
  return table;
}

const table = kinds[root.dataset.list]();
live.on("reset", () => table.load());
live.start();
root.dataset.ready = "true";

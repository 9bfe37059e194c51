// The columns of the lists that several pages show.

import { h } from "./dom.js";
import { rejection, rejectionText } from "./failures.js";
import * as format from "./format.js";
import { t } from "./i18n.js";
import { label, shortId, side, tag } from "./labels.js";

/** Codes and names of clients, by id; from the page's filter or data. */
export function clientNames(node) {
  const known = new Map(JSON.parse(node.dataset.clients ?? "[]").map((client) => [client.id, client]));
  return (id) => known.get(id)?.code ?? shortId(id);
}

export const ticks = (node) => {
  const known = new Map(JSON.parse(node.dataset.instruments ?? "[]").map((item) => [item.symbol, item]));
  return { tick: (symbol) => known.get(symbol)?.tick_size, quote: (symbol) => known.get(symbol)?.quote };
};

const when = (at) => h("time", { datetime: at, title: format.dateTime(at) }, format.when(at));

export function orderColumns({ tick, client = null }) {
  return [
    { label: t("Time"), cell: (row) => h("a", { href: `/orders/${row.id}` }, when(row.created_at)), csv: (row) => row.created_at },
    client && { label: t("Client"), cell: (row) => client(row.client_id), csv: (row) => client(row.client_id) },
    { label: t("Instrument"), key: "symbol" },
    { label: t("Side"), cell: (row) => side(row.side), csv: (row) => row.side },
    { label: t("Type"), cell: (row) => label(row.type), csv: (row) => row.type },
    { label: t("Quantity"), end: true, cell: (row) => format.number(row.qty), csv: (row) => row.qty },
    { label: t("Filled"), end: true, cell: (row) => format.number(row.cum_qty), csv: (row) => row.cum_qty },
    { label: t("Price"), end: true, cell: (row) => (row.price ? format.price(row.price, tick(row.symbol)) : t("Market")), csv: (row) => row.price },
    { label: t("Average"), end: true, cell: (row) => (row.avg_px ? format.price(row.avg_px, tick(row.symbol)) : "–"), csv: (row) => row.avg_px },
    { label: t("Status"), cell: (row) => h("span", {}, tag(row.status), row.reject_code && h("span", { class: "small text-secondary ms-2", title: rejectionText(row) }, rejection(row))), csv: (row) => row.status },
    { label: t("Source"), cell: (row) => (row.exit_reason ? tag(row.exit_reason, "info") : label(row.source)), csv: (row) => row.exit_reason ?? row.source },
  ].filter(Boolean);
}

export function positionColumns({ tick, client = null }) {
  return [
    { label: t("Opened"), cell: (row) => h("a", { href: `/positions/${row.id}` }, when(row.opened_at)), csv: (row) => row.opened_at },
    client && { label: t("Client"), cell: (row) => client(row.client_id), csv: (row) => client(row.client_id) },
    { label: t("Instrument"), key: "symbol" },
    { label: t("Side"), cell: (row) => side(row.side), csv: (row) => row.side },
    { label: t("Quantity"), end: true, cell: (row) => format.number(row.status === "CLOSED" ? row.entry.qty : row.qty), csv: (row) => row.qty },
    { label: t("Entry"), end: true, cell: (row) => format.price(row.entry.price, tick(row.symbol)), csv: (row) => row.entry.price },
    { label: t("Exit or now"), end: true, cell: (row) => (row.exit.price && row.status === "CLOSED" ? format.price(row.exit.price, tick(row.symbol)) : format.price(row.current.price, tick(row.symbol))), csv: (row) => row.exit.price ?? row.current.price },
    { label: t("Unrealized P&L"), end: true, cell: (row) => pnl(row.status === "CLOSED" ? null : row.current.unrealized_pnl, row.quote_currency, row.id), csv: (row) => row.current.unrealized_pnl },
    { label: t("Realized P&L"), end: true, cell: (row) => pnl(row.realized_pnl === "0" && row.status !== "CLOSED" ? null : row.realized_pnl, row.quote_currency), csv: (row) => row.realized_pnl },
    { label: t("Status"), cell: (row) => h("span", { class: "d-inline-flex gap-1" }, tag(row.status), row.exit.reason && tag(row.exit.reason, "info")), csv: (row) => row.status },
  ].filter(Boolean);
}

export const pnl = (amount, currency, id = null) =>
  h("span", { class: `num ${format.tone(amount)}`, "data-pnl": id }, amount === null ? "–" : format.profit(amount, currency));

export function executionColumns({ tick, quote, client = null }) {
  return [
    { label: t("Time"), cell: (row) => when(row.executed_at), csv: (row) => row.executed_at },
    client && { label: t("Client"), cell: (row) => client(row.client_id), csv: (row) => client(row.client_id) },
    { label: t("Instrument"), key: "symbol" },
    { label: t("Side"), cell: (row) => side(row.side), csv: (row) => row.side },
    { label: t("Quantity"), end: true, cell: (row) => format.number(row.qty), csv: (row) => row.qty },
    { label: t("Price"), end: true, cell: (row) => format.price(row.price, tick(row.symbol)), csv: (row) => row.price },
    { label: t("Value"), end: true, cell: (row) => format.balance(row.value, quote(row.symbol)), csv: (row) => row.value },
    { label: t("Fee"), end: true, cell: (row) => format.money(row.fee, row.fee_currency, { max: 4 }), csv: (row) => row.fee },
    { label: t("Realized P&L"), end: true, cell: (row) => (row.side === "SELL" ? pnl(row.realized_pnl, quote(row.symbol)) : "–"), csv: (row) => row.realized_pnl },
    { label: "", cell: (row) => h("a", { href: `/orders/${row.order_id}` }, t("Order")) },
  ].filter(Boolean);
}

export function movementColumns() {
  return [
    { label: t("Time"), cell: (row) => when(row.at), csv: (row) => row.at },
    { label: t("Journal entry"), cell: (row) => h("a", { href: `/journal/${row.entry_id}` }, `#${row.entry_number}`), csv: (row) => row.entry_number },
    { label: t("Kind"), cell: (row) => label(row.kind), csv: (row) => row.kind },
    { label: t("Account"), cell: (row) => label(row.account), csv: (row) => row.account },
    { label: t("Amount"), end: true, cell: (row) => h("span", { class: format.tone(row.amount) }, format.money(row.amount, row.asset, { plus: true }).split(" ")[0]), csv: (row) => row.amount },
    { label: t("Asset"), key: "asset" },
    { label: t("About"), cell: (row) => about(row), csv: (row) => `${row.about_type} ${row.about_id}` },
  ];
}

/** Links to what an entry is about. */
export function about(row) {
  const pages = { order: "orders", position: "positions", wallet: "wallets", deposit: "deposits" };
  const names = { order: t("Order"), position: t("Position"), wallet: t("Wallet"), execution: t("Execution"), deposit: t("Deposit") };
  const text = `${names[row.about_type] ?? row.about_type} ${shortId(row.about_id)}`;
  return pages[row.about_type] ? h("a", { href: `/${pages[row.about_type]}/${row.about_id}` }, text) : text;
}

export function walletColumns({ client = null }) {
  return [
    { label: t("Wallet"), cell: (row) => h("a", { href: `/wallets/${row.id}` }, row.name), csv: (row) => row.name },
    client && { label: t("Client"), cell: (row) => client(row.client_id), csv: (row) => client(row.client_id) },
    { label: t("Platform"), cell: (row) => (row.platform === "paper" ? t("Paper") : row.platform), csv: (row) => row.platform },
    { label: t("Status"), cell: (row) => h("span", { class: "d-inline-flex gap-1" }, tag(row.status), row.is_default && tag(t("default"), "")), csv: (row) => row.status },
    { label: t("Value"), end: true, cell: (row) => h("span", { class: "num", "data-total": row.id }, "…"), csv: () => "" },
    { label: t("Taker fee"), end: true, cell: (row) => format.percent(times100(row.taker_rate), false), csv: (row) => row.taker_rate },
    { label: t("Opened"), cell: (row) => when(row.created_at), csv: (row) => row.created_at },
  ].filter(Boolean);
}

/** A rate as a percent: the point moves two places. */
export function times100(rate) {
  const [whole, fraction = ""] = rate.split(".");
  const digits = fraction.padEnd(2, "0");
  return `${BigInt(whole + digits.slice(0, 2))}${digits.slice(2) ? `.${digits.slice(2)}` : ""}`;
}

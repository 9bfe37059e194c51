// The day at a glance, live.

import { drawAllocation } from "../allocation.js";
import { get } from "../api.js";
import { now } from "../clock.js";
import { clientNames, executionColumns, orderColumns, pnl, positionColumns, ticks } from "../columns.js";
import { sum, sumShown } from "../decimal.js";
import { $, h, setText } from "../dom.js";
import { rejection, rejectionText } from "../failures.js";
import * as format from "../format.js";
import { t } from "../i18n.js";
import { isLive, label, tag } from "../labels.js";
import * as live from "../live.js";
import { MiniTable } from "../mini_table.js";
import { withdrawableCards } from "../withdrawable.js";

const root = $("#dashboard");
const staff = root.dataset.kind === "staff";
const client = staff ? clientNames(root) : null;
const context = { ...ticks(root), client };
const pick = (columns, labels) => columns.filter((column) => labels.includes(column.label));
const counts = { orders: 0, positions: 0 };

const orders = new MiniTable($("#orders"), {
  columns: pick(orderColumns(context), [t("Time"), t("Client"), t("Instrument"), t("Side"), t("Type"), t("Quantity"), t("Price"), t("Status")]),
  keep: isLive, none: [t("No live orders"), staff ? t("Orders show here while they wait at the venue.") : t("Send one from the trading desk."), "list-ul"],
});
const positions = new MiniTable($("#positions"), {
  columns: pick(positionColumns(context), [t("Opened"), t("Client"), t("Instrument"), t("Side"), t("Quantity"), t("Entry"), t("Unrealized P&L")]),
  keep: (position) => position.status !== "CLOSED",
  none: [t("No open positions"), staff ? t("They open with the first fill of an order.") : t("They open when an order of yours is filled."), "briefcase"],
});
const executions = new MiniTable($("#executions"), {
  columns: pick(executionColumns(context), [t("Time"), t("Client"), t("Instrument"), t("Side"), t("Quantity"), t("Price"), t("Fee")]),
  none: [t("No executions yet"), t("Every fill is listed here with its fee."), "check2-circle"],
});
const rejects = staff && new MiniTable($("#rejects"), {
  most: 6, keep: (order) => order.status === "REJECTED",
  columns: [
    { label: t("Time"), cell: (row) => h("a", { href: `/orders/${row.id}` }, format.when(row.created_at)) },
    { label: t("Client"), cell: (row) => client(row.client_id) },
    { label: t("Instrument"), key: "symbol" },
    { label: t("Reason"), cell: (row) => h("span", { class: "long-text d-inline-block", title: rejectionText(row) }, rejection(row)) },
  ],
  none: [t("Nothing was rejected"), t("Refused orders and their reasons show here."), "shield-check"],
});

async function counted() {
  const midnight = new Date(now());
  midnight.setHours(0, 0, 0, 0);
  const today = midnight.toISOString();
  const [open, held] = await Promise.all([
    get("/api/v1/orders", { open: true, limit: 8 }), get("/api/v1/positions", { open: true, limit: 100 }),
  ]);
  orders.set(open.items);
  positions.set(held.items);
  Object.assign(counts, { orders: open.total, positions: held.total });
  setText($("#orders-total"), format.number(String(counts.orders)));
  setText($("#positions-total"), format.number(String(counts.positions)));
  showPnl();
  if (!staff) return;
  const [rejected, filled] = await Promise.all([
    get("/api/v1/orders", { status: "REJECTED", created_from: today, limit: 6 }),
    get("/api/v1/orders", { status: "FILLED", created_from: today, limit: 1 }),
  ]);
  rejects.set(rejected.items);
  setText($("#rejects-total"), format.number(String(rejected.total)));
  setText($("#executions-total"), format.number(String(filled.total)));
  setText($("#executions-note"), t("orders filled"));
}

/** Positions are in several currencies: each gets its own sum. */
function showPnl() {
  const byCurrency = new Map();
  for (const position of positions.rows.values()) {
    const { unrealized_pnl: amount } = position.current;
    if (amount) byCurrency.set(position.quote_currency, [...(byCurrency.get(position.quote_currency) ?? []), amount]);
  }
  const sums = [...byCurrency].map(([currency, amounts]) => [sumShown(amounts, 2), currency]);
  const target = staff ? $("#positions-note") : $("#pnl");
  if (!sums.length) { setText(target, staff ? "" : format.profit("0", "USD")); return; }
  const drawn = sums.slice(0, staff ? 2 : 1).map(([amount, currency]) => h("span", { class: `me-2 ${format.tone(amount)}` }, format.profit(amount, currency)));
  target.replaceChildren(...drawn);
  if (!staff) setText($("#pnl-note"), sums.slice(1).map(([amount, currency]) => format.profit(amount, currency)).join(" · "));
}

async function money() {
  const wallets = (await get("/api/v1/wallets", { limit: 20 })).items;
  const answers = await Promise.all(wallets.map((wallet) => get(`/api/v1/wallets/${wallet.id}/balances`)));
  const assets = new Map();
  for (const item of answers.flatMap((answer) => answer.balances)) {
    const known = assets.get(item.asset);
    assets.set(item.asset, known ? { asset: item.asset, value_usd: sum([known.value_usd ?? "0", item.value_usd ?? "0"]) } : item);
  }
  setText($("#total"), format.usd(sum(answers.map((answer) => answer.total_usd))));
  const unpriced = [...new Set(answers.flatMap((answer) => answer.unpriced))];
  setText($("#total-note"), unpriced.length ? t("without %(assets)s: no price", { assets: unpriced.join(", ") }) : t("at current prices"));
  drawAllocation($("#allocation"), [...assets.values()]);
}

async function health() {
  const answer = await get("/api/v1/health/services");
  const named = (prefix) => answer.services.find((part) => part.name.startsWith(prefix));
  const engine = named("engine");
  const feed = named("feed:");
  $("#engine-state").replaceChildren(engine ? tag(engine.status) : tag("down"));
  setText($("#engine-note"), engine ? "" : t("No engine in this process"));
  $("#feed-state").replaceChildren(feed ? tag(feed.status) : tag("down"));
  setText($("#feed-note"), feed ? t("%(n)s quotes", { n: format.number(String(feed.figures.quotes)) }) : "");
}

function market() {
  const symbols = JSON.parse(root.dataset.instruments).map((item) => item.symbol);
  const table = new MiniTable($("#market"), {
    most: 12, sort: (a, b) => symbols.indexOf(a.symbol) - symbols.indexOf(b.symbol),
    columns: [
      { label: t("Instrument"), cell: (row) => h("a", { href: `/desk?symbol=${encodeURIComponent(row.symbol)}` }, row.symbol) },
      { label: t("Bid"), end: true, cell: (row) => h("span", { class: "num", "data-bid": row.symbol }, format.price(row.bid, context.tick(row.symbol))) },
      { label: t("Ask"), end: true, cell: (row) => h("span", { class: "num", "data-ask": row.symbol }, format.price(row.ask, context.tick(row.symbol))) },
    ],
    none: [t("No quotes yet"), t("Prices appear as soon as the feed sends them."), "activity"],
  });
  const take = (quote) => {
    if (!table.rows.has(quote.symbol)) { table.rows.set(quote.symbol, { ...quote, id: quote.symbol }); table.draw(); return; }
    for (const side of ["bid", "ask"]) setText($(`[data-${side}="${CSS.escape(quote.symbol)}"]`), format.price(quote[side], context.tick(quote.symbol)));
  };
  live.on("quote", take);
  live.subscribe(symbols);
  return get("/api/v1/market/quotes").then((answer) => table.set(answer.items.map((quote) => ({ ...quote, id: quote.symbol }))));
}

let timer = 0;
const recount = () => { clearTimeout(timer); timer = setTimeout(() => counted().catch(() => {}), 400); };

live.on("order.*", ({ data }) => { orders.take(data); if (staff) rejects.take(data); recount(); });
live.on("execution.created", ({ data }) => executions.take(data));
for (const type of ["position.opened", "position.updated", "position.closed", "position.protection"]) {
  live.on(type, ({ data }) => { positions.take(data); recount(); });
}
live.on("position.sample", ({ id, current }) => {
  const position = positions.rows.get(id);
  if (!position) return;
  position.current = { ...position.current, ...current };
  $(`[data-pnl="${id}"]`)?.replaceWith(pnl(current.unrealized_pnl, position.quote_currency, id));
  showPnl();
});
let balances = 0;
if (!staff) live.on("wallet.balance", () => { clearTimeout(balances); balances = setTimeout(() => money().catch(() => {}), 600); });
live.on("reset", () => location.reload());
live.start();

const work = [counted(), market(), get("/api/v1/executions", { limit: 8 }).then((answer) => executions.set(answer.items))];
const withdrawable = $("#withdrawable");
if (withdrawable) work.push(withdrawableCards(withdrawable));
if (!staff) { work.push(money()); setInterval(() => money().catch(() => {}), 15_000); }
if (root.dataset.system === "true") { work.push(health()); setInterval(() => health().catch(() => {}), 5_000); }
await Promise.allSettled(work);
root.dataset.ready = "true";

// One order: what it is, what happened to it, and where its money went.

import { get, post } from "../api.js";
import { executionColumns, ticks } from "../columns.js";
import { $, empty, h } from "../dom.js";
import { rejectionText } from "../failures.js";
import * as format from "../format.js";
import { t } from "../i18n.js";
import { accountName, isLive, label, side, tag } from "../labels.js";
import * as live from "../live.js";
import { MiniTable } from "../mini_table.js";
import { fixList, historyList } from "../order_history.js";
import { complain } from "../toast.js";

const root = $("#order");
const context = ticks(root);
let order = JSON.parse(root.dataset.order);
const path = `/api/v1/orders/${order.id}`;
const executions = new MiniTable($("#executions"), { columns: executionColumns(context).filter((column) => column.label), most: 100, none: [t("No executions yet"), t("Every fill is listed here with its fee."), "check2-circle"] });
const entries = new MiniTable($("#entries"), {
  most: 100, sort: (a, b) => a.number - b.number, none: [t("No entries yet"), t("Holds and fills are booked here."), "journal-text"],
  columns: [
    { label: t("Number"), cell: (row) => h("a", { href: `/journal/${row.id}` }, `#${row.number}`) },
    { label: t("Time"), cell: (row) => format.when(row.at) },
    { label: t("Kind"), cell: (row) => tag(row.kind) },
    { label: t("Postings"), wide: true, cell: (row) => h("div", { class: "small" }, row.postings.map((line) => h("div", { class: "d-flex gap-3 justify-content-between" },
      h("span", {}, line.code, " ", accountName(line.name)), h("span", { class: `num ${format.tone(line.amount)}` }, format.money(line.amount, line.currency, { plus: true }))))) },
  ],
});

function showFacts() {
  const quote = context.quote(order.symbol);
  const price = (text) => format.money(text, quote);
  const level = (text) => (text ? `${format.price(text, context.tick(order.symbol))} ${quote}` : "–");
  const facts = [
    [t("Status"), tag(order.status)], [t("Side"), side(order.side)], [t("Type"), label(order.type)], [t("Valid"), label(order.time_in_force)],
    [t("Quantity"), format.number(order.qty)], [t("Filled"), format.number(order.cum_qty)], [t("Left"), format.number(order.leaves_qty)],
    [t("Price"), order.price ? level(order.price) : t("Market")], [t("Average price"), level(order.avg_px)],
    [t("Fees"), price(order.fees)], [t("Set aside"), format.money(order.held, order.hold_currency)],
    order.protection?.stop_loss && [t("Stop loss"), price(order.protection.stop_loss)],
    order.protection?.take_profit && [t("Take profit"), price(order.protection.take_profit)],
    order.protection?.trailing_stop && [t("Trailing stop"), `${format.number(order.protection.trailing_stop.value)} (${order.protection.trailing_stop.type})`],
    order.exit_reason && [t("Reason"), tag(order.exit_reason, "info")],
    order.position_id && [t("Position"), h("a", { href: `/positions/${order.position_id}` }, order.position_id.slice(-8))],
    [t("Source"), label(order.source)], [t("Venue"), `${order.venue} ${order.venue_order_id ?? ""}`],
    [t("Created"), format.dateTime(order.created_at)], [t("Finished"), format.dateTime(order.closed_at)],
    order.reject_reason && [t("Rejected because"), h("span", { class: "down" }, rejectionText(order))],
  ].filter(Boolean);
  $("#facts").replaceChildren(...facts.map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, value))));
  const cancel = $("#cancel");
  if (cancel) cancel.hidden = !isLive(order) || order.status === "PENDING_CANCEL";
}

async function load() {
  const [events, messages, fills, booked] = await Promise.all([
    get(`${path}/events`), get(`${path}/fix-messages`), get(`${path}/executions`), get("/api/v1/journal/entries", { about_id: order.id, limit: 100 }),
  ]);
  $("#history").replaceChildren(historyList(events.items, context.tick(order.symbol)));
  $("#fix").replaceChildren(fixList(messages.items));
  executions.set(fills.items);
  const trades = await Promise.all(fills.items.map((fill) => get(`/api/v1/journal/entries/${fill.journal_entry_id}`).catch(() => null)));
  entries.set([...booked.items, ...trades.filter(Boolean)]);
}

let timer = 0;
const again = () => { clearTimeout(timer); timer = setTimeout(() => load().catch(() => {}), 250); };
live.on("order.*", ({ data }) => { if (data.id === order.id && data.version >= order.version) { order = data; showFacts(); again(); } });
live.on("reset", () => location.reload());
live.start();
$("#cancel")?.addEventListener("click", () => post(`${path}/cancel`).catch((problem) => complain(problem, t("The order was not canceled"))));
showFacts();
await load().catch((problem) => $("#history").replaceChildren(empty(t("The order could not be loaded"), problem.message)));

// One position: its figures and its profit over time, live.

import { BaselineSeries, LineStyle } from "../../vendor/lightweight-charts/lightweight-charts.production.js";
import { get } from "../api.js";
import { fade, makeChart, seconds } from "../chart_style.js";
import { now } from "../clock.js";
import { executionColumns, pnl, ticks } from "../columns.js";
import { $, empty, h, setText } from "../dom.js";
import * as format from "../format.js";
import { t } from "../i18n.js";
import { label, tag } from "../labels.js";
import * as live from "../live.js";
import { MiniTable } from "../mini_table.js";

const root = $("#position");
const context = ticks(root);
let position = JSON.parse(root.dataset.position);
const path = `/api/v1/positions/${position.id}`;
const executions = new MiniTable($("#executions"), { columns: executionColumns(context), most: 100, none: [t("No executions yet"), "", "check2-circle"] });
const updates = new MiniTable($("#updates"), {
  most: 20, sort: (a, b) => (a.at < b.at ? 1 : -1), none: [t("No values yet"), t("The position is sampled while it is open."), "activity"],
  columns: [
    { label: t("Time"), cell: (row) => format.when(row.at) },
    { label: t("Price"), end: true, cell: (row) => format.price(row.price, context.tick(position.symbol)) },
    { label: t("Unrealized P&L"), end: true, cell: (row) => pnl(row.unrealized_pnl, position.quote_currency) },
    { label: t("Action"), cell: (row) => (row.action ? label(row.action) : "–") },
  ],
});
const facts = (node, pairs) => node.replaceChildren(...pairs.filter(Boolean).map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, value))));
const card = (text, value, note = "") => h("div", { class: "panel card-figure" }, h("span", { class: "label" }, text), h("span", { class: "value" }, value), h("span", { class: "note" }, note));

function show() {
  const { entry, exit, current, statistics, protection, quote_currency: currency } = position;
  const open = position.status !== "CLOSED";
  const price = (text) => format.price(text, context.tick(position.symbol));
  const amount = (text) => format.money(text, currency);
  $("#cards").replaceChildren(
    card(t("Status"), h("span", { class: "fs-5" }, tag(position.status), " ", exit.reason ? tag(exit.reason, "info") : "")),
    open ? card(t("Unrealized P&L"), pnl(current.unrealized_pnl, currency, position.id), format.percent(current.unrealized_percent))
      : card(t("Realized P&L"), pnl(position.realized_pnl, currency), format.percent(position.realized_percent)),
    card(t("Quantity"), h("span", { class: "num" }, format.number(open ? position.qty : entry.qty)), label(position.side)),
    open ? card(t("Now"), format.price(current.price, context.tick(position.symbol)), format.money(current.value, currency, { min: 2, max: 2 }))
      : card(t("Held for"), format.duration(current.minutes_held), ""));
  facts($("#facts"), [
    [t("Entry price"), price(entry.price)], [t("Entry value"), amount(entry.value)], [t("Entry fees"), amount(entry.fees)], [t("Opened"), format.dateTime(entry.at)],
    entry.order_id && [t("Entry order"), h("a", { href: `/orders/${entry.order_id}` }, entry.order_id.slice(-8))],
    exit.price && [t("Exit price"), price(exit.price)], exit.price && [t("Exit value"), amount(exit.value)], exit.price && [t("Exit fees"), amount(exit.fees)],
    exit.at && [t("Closed"), format.dateTime(exit.at)], exit.order_id && [t("Exit order"), h("a", { href: `/orders/${exit.order_id}` }, exit.order_id.slice(-8))],
    [t("Realized P&L"), pnl(position.realized_pnl, currency)],
  ]);
  const trail = protection.trailing_stop;
  facts($("#protection"), [
    [t("Stop loss"), price(protection.stop_loss)], [t("Take profit"), price(protection.take_profit)],
    [t("Trailing stop"), trail ? `${format.number(trail.value)} (${trail.type}) → ${trail.trigger_price ? price(trail.trigger_price) : t("waiting")}` : "–"],
    [t("Break-even"), protection.break_even_percent ? `${format.number(protection.break_even_percent)} %` : "–"],
    [t("Fees"), amount(statistics.fees)], [t("Slippage at entry"), price(statistics.entry_slippage)], [t("Price moves seen"), format.number(String(statistics.price_moves))],
    [t("Changes of exits"), format.number(String(statistics.stop_adjustments))], [t("Best moment"), amount(statistics.mfe)], [t("Worst moment"), amount(statistics.mae)],
    [t("High / low"), `${price(current.high)} / ${price(current.low)}`], [t("Held for"), format.duration(current.minutes_held)],
  ]);
}

const signed = (value) => format.profit(value.toFixed(2), position.quote_currency);
const holder = $("#curve");
const curve = makeChart(holder, { localization: { priceFormatter: (value) => format.number(value.toFixed(2), { min: 2, plus: true }) }, handleScroll: false, handleScale: false, timeScale: { secondsVisible: true } },
  (c) => profit.applyOptions({
    topLineColor: c.up, topFillColor1: fade(c.up, 0.25), topFillColor2: fade(c.up, 0.03),
    bottomLineColor: c.down, bottomFillColor1: fade(c.down, 0.03), bottomFillColor2: fade(c.down, 0.25),
  }));
const profit = curve.chart.addSeries(BaselineSeries, { baseValue: { type: "price", price: 0 }, lineWidth: 2, priceLineVisible: false });
profit.createPriceLine({ price: 0, lineStyle: LineStyle.Dotted, lineWidth: 1, axisLabelVisible: false });
curve.repaint();
curve.chart.subscribeCrosshairMove(({ time, seriesData }) => {
  const point = seriesData.get(profit);
  setText($("#curve-legend"), point ? `${format.dateTime(new Date(time * 1000).toISOString())} · ${signed(point.value)}` : "");
});
const POINTS = 300;
let last = 0;
let stretch = 1; // seconds between two points, so that a second's worth of samples does not crowd out a day

function drawCurve(points) {
  const data = points.map((point) => ({ time: seconds(point.at), value: Number(point.pnl) })).filter((point, index, all) => all[index + 1]?.time !== point.time);
  profit.setData(data);
  last = data.at(-1)?.time ?? 0;
  stretch = data.length ? Math.max((last - data[0].time) / POINTS, 1) : 1;
  curve.chart.timeScale().fitContent();
  holder.dataset.points = String(data.length);
  holder.querySelector(".empty")?.remove();
  if (!data.length) holder.append(empty(t("No values yet"), t("The position is sampled while it is open."), "activity"));
}

/** The newest sample at the end of the curve: what was realized before, and what is open now. */
function extend(current) {
  const moment = Math.floor(now() / 1000);
  if (moment < last || position.status === "CLOSED" || current.unrealized_pnl === null) return;
  holder.querySelector(".empty")?.remove();
  if (moment - last >= stretch) last = moment;
  profit.update({ time: last, value: Number(position.realized_pnl) + Number(current.unrealized_pnl) });
}

async function load() {
  const [fills, samples, points] = await Promise.all([get(`${path}/executions`), get(`${path}/updates`, { limit: 20 }), get(`${path}/curve`)]);
  drawCurve(points.items);
  executions.set(fills.items);
  updates.set(samples.items.map((row) => ({ ...row, id: row.at })));
}

for (const type of ["position.updated", "position.closed", "position.protection", "position.opened"]) {
  live.on(type, ({ data }) => { if (data.id === position.id && data.version >= position.version) { position = data; show(); load().catch(() => {}); } });
}
live.on("position.sample", ({ id, current }) => { if (id === position.id) { position.current = { ...position.current, ...current }; show(); extend(position.current); } });
live.on("reset", () => location.reload());
live.start();
show();
await load().catch(() => {});

// The portfolio: equity, today's profit, what was realized, and how well it went.

import { AreaSeries, HistogramSeries } from "../../vendor/lightweight-charts/lightweight-charts.production.js";
import { get } from "../api.js";
import { colours, fade, makeChart, seconds, stamp } from "../chart_style.js";
import { $, $$, h, setText } from "../dom.js";
import * as format from "../format.js";
import { locale, t } from "../i18n.js";
import * as live from "../live.js";
import { MiniTable } from "../mini_table.js";
import { complain } from "../toast.js";

const REFRESH_MS = 15_000;
const root = $("#portfolio");
const staff = root.dataset.staff === "true";
const client = $("#portfolio-client");
const wallet = $("#portfolio-wallet");
const address = new URLSearchParams(location.search);
const periods = $$("#periods button").map((button) => button.dataset.period);
const remembered = localStorage.getItem("portfolio-period");
let period = [address.get("period"), remembered, "1w"].find((name) => periods.includes(name));
const weekday = new Intl.DateTimeFormat(locale, { weekday: "short", day: "numeric", month: "short" });
let serial = 0;
let drawn = "";

const money = { localization: { priceFormatter: (value) => format.number(value.toFixed(2), { min: 2 }) } };
const equity = makeChart($("#curve"), { ...money, handleScroll: false, handleScale: false, rightPriceScale: { scaleMargins: { top: 0.12, bottom: 0.08 } } },
  (c) => area?.applyOptions({ lineColor: c.brand, topColor: fade(c.brand, 0.28), bottomColor: fade(c.brand, 0.02) }));
const area = equity.chart.addSeries(AreaSeries, { lineWidth: 2, priceLineVisible: false });
equity.repaint();
const dated = { timeFormatter: (day) => stamp(day, { dateStyle: "medium" }) };
const bars = makeChart($("#days-chart"), { localization: { ...money.localization, ...dated }, handleScroll: false, handleScale: false, timeScale: { timeVisible: false } }, () => drawDays());
const days = bars.chart.addSeries(HistogramSeries, { priceLineVisible: false, lastValueVisible: false });
let realized = [];
bars.repaint();

const dayTable = new MiniTable($("#days"), {
  most: 10, sort: (a, b) => (a.day < b.day ? 1 : -1), none: [t("Nothing was executed"), t("Profit shows here by day as positions are closed."), "activity"],
  columns: [
    { label: t("Day"), cell: (row) => weekday.format(new Date(`${row.day}T12:00:00`)) },
    { label: t("Realized"), end: true, cell: (row) => signed(row.realized_pnl) },
    { label: t("Fees"), end: true, cell: (row) => format.usd(row.fees) },
    { label: t("Volume"), end: true, cell: (row) => format.usd(row.volume) },
    { label: t("Executions"), end: true, cell: (row) => format.number(String(row.fills)) },
  ],
});
const instrumentTable = new MiniTable($("#by-instrument"), {
  most: 20, sort: (a, b) => (a.symbol < b.symbol ? -1 : 1), none: [t("Nothing was executed"), "", "activity"],
  columns: [
    { label: t("Instrument"), cell: (row) => h("a", { href: `/desk?symbol=${encodeURIComponent(row.symbol)}` }, row.symbol) },
    { label: t("Realized"), end: true, cell: (row) => signed(row.realized_pnl) },
    { label: t("Fees"), end: true, cell: (row) => format.usd(row.fees) },
    { label: t("Volume"), end: true, cell: (row) => format.usd(row.volume) },
  ],
});

/** A large figure with its currency in small. */
const figure = (text) => {
  const [number, currency] = text.split(/ (?=[A-Z]+$)/);
  return h("span", {}, number, currency ? h("small", {}, ` ${currency}`) : "");
};
const signed = (amount) => h("span", { class: `num ${format.tone(amount)}` }, format.profit(amount, "USD"));

function show(node, amount, note) {
  $(`#${node}`).replaceChildren(h("span", { class: `num ${format.tone(amount)}` }, figure(format.profit(amount, "USD"))));
  setText($(`#${node}-note`), note);
}

function draw(answer) {
  const { day, period: span, statistics } = answer;
  $("#equity").replaceChildren(figure(format.usd(answer.equity)));
  setText($("#equity-note"), answer.unpriced.length ? t("without %(assets)s: no price", { assets: answer.unpriced.join(", ") }) : t("at current prices"));
  show("day", day.pnl, `${format.percent(day.percent)} · ${t("since 00:00 UTC")}`);
  show("gain", span.pnl, `${format.percent(span.percent)}${span.deposits === "0" ? "" : ` · ${t("paid in %(amount)s", { amount: format.usd(span.deposits) })}`}`);
  show("realized", span.realized_pnl, t("fees %(amount)s", { amount: format.usd(span.fees) }));
  $("#unrealized").replaceChildren(h("span", { class: `num ${format.tone(answer.unrealized_pnl)}` }, figure(format.profit(answer.unrealized_pnl, "USD"))));
  setText($("#win-rate"), format.percent(statistics.win_rate, false));
  setText($("#win-note"), t("%(wins)s won, %(losses)s lost", { wins: statistics.wins, losses: statistics.losses }));
  drawCurve(answer.curve);
  realized = answer.realized;
  drawDays();
  dayTable.set(answer.realized.map((row) => ({ ...row, id: row.day })));
  instrumentTable.set(answer.instruments.map((row) => ({ ...row, id: row.symbol })));
  const facts = [
    [t("Positions closed"), format.number(String(statistics.trades))], [t("Average win"), statistics.average_win && signed(statistics.average_win)],
    [t("Average loss"), statistics.average_loss && signed(statistics.average_loss)], [t("Profit factor"), format.number(statistics.profit_factor, { min: 2 })],
    [t("Best"), statistics.best && signed(statistics.best)], [t("Worst"), statistics.worst && signed(statistics.worst)],
    [t("Average time held"), format.duration(statistics.average_minutes)], [t("Volume"), format.usd(span.volume)],
  ];
  $("#statistics").replaceChildren(...facts.map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, value ?? "–"))));
}

function drawCurve(points) {
  const data = points.map((point) => ({ time: seconds(point.at), value: Number(point.equity) }));
  area.setData(data.filter((point, index) => index === data.length - 1 || point.time < data[index + 1].time));
  const shape = `${client?.value}:${wallet.value}:${period}`;
  if (shape !== drawn) equity.chart.timeScale().fitContent();
  drawn = shape;
  root.dataset.points = String(points.length);
}

function drawDays() {
  const c = colours();
  days.setData(realized.map((row) => ({ time: row.day, value: Number(row.realized_pnl), color: fade(row.realized_pnl.startsWith("-") ? c.down : c.up, 0.8) })));
  bars.chart.timeScale().fitContent();
}

equity.chart.subscribeCrosshairMove(({ time, seriesData }) => {
  const point = seriesData.get(area);
  setText($("#curve-legend"), point ? `${format.dateTime(new Date(time * 1000).toISOString())} · ${format.usd(point.value.toFixed(2))}` : "");
});

async function load() {
  const mine = ++serial;
  for (const button of $$("#periods button")) button.setAttribute("aria-pressed", String(button.dataset.period === period));
  if (staff && !client?.value) return;
  try {
    const answer = await get("/api/v1/portfolio", { client_id: client?.value, wallet_id: wallet.value || undefined, period });
    if (mine === serial) draw(answer);
  } catch (problem) {
    complain(problem, t("The portfolio could not be loaded"));
  }
}

async function loadWallets() {
  const answer = await get("/api/v1/wallets", { client_id: client?.value, limit: 50 });
  const wanted = address.get("wallet");
  wallet.replaceChildren(wallet.options[0], ...answer.items.map((item) => h("option", { value: item.id }, item.name)));
  wallet.value = answer.items.some((item) => item.id === wanted) ? wanted : "";
  wallet.parentElement.hidden = answer.items.length < 2;
}

/** Whose portfolio and how far back stay in the address. */
function remember() {
  for (const [name, value] of [["client", client?.value], ["wallet", wallet.value], ["period", period]]) {
    if (value) address.set(name, value);
    else address.delete(name);
  }
  history.replaceState(null, "", `?${address}`);
}

for (const button of $$("#periods button")) {
  button.addEventListener("click", () => {
    period = button.dataset.period;
    localStorage.setItem("portfolio-period", period);
    remember();
    load();
  });
}
wallet.addEventListener("change", () => { remember(); load(); });
client?.addEventListener("change", async () => { address.delete("wallet"); wallet.value = ""; await loadWallets(); remember(); load(); });
if (client && [...client.options].some((option) => option.value === address.get("client"))) client.value = address.get("client");

let timer = 0;
const soon = () => { clearTimeout(timer); timer = setTimeout(load, 800); };
live.on("execution.created", soon);
live.on("position.closed", soon);
live.on("reset", () => location.reload());
live.start();
if (!staff || client?.value) {
  await loadWallets().catch(() => {});
  await load();
}
setInterval(() => { if (!document.hidden) load(); }, REFRESH_MS);
root.dataset.ready = "true";

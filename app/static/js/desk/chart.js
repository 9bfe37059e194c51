// The chart: stored bars, the forming one from live quotes, and lines for what is at stake.

import { CandlestickSeries, CrosshairMode, LineStyle } from "../../vendor/lightweight-charts/lightweight-charts.production.js";
import { get } from "../api.js";
import { colours, makeChart, seconds, stamp } from "../chart_style.js";
import { decimalsOf } from "../decimal.js";
import { $, $$, empty, h } from "../dom.js";
import { number, percent } from "../format.js";
import { t } from "../i18n.js";
import { complain } from "../toast.js";
import * as fills from "./fills.js";
import { instrument, state, tell, watch } from "./state.js";
import * as studies from "./studies.js";

const SECONDS = { "1s": 1, "1m": 60, "5m": 300, "15m": 900, "1h": 3600, "4h": 14400, "1d": 86400 };
const BARS = 500;
const FEW = 5;
const NEAR_PX = 6;
const NEAR_SHARE = 0.02;

let chart;
let series;
let interval = localStorage.getItem("interval");
const chosen = Boolean(SECONDS[interval]);
let bars = []; // those shown, oldest first; the last one is forming
let loading = 0;
let lines = [];
let drag = null;
const wantedLines = new Map(); // by who wants them: positions, orders

// the chart draws pixels, not money: here alone prices become numbers
const point = (bar) => ({
  time: seconds(bar.start), volume: Number(bar.volume),
  open: Number(bar.open), high: Number(bar.high), low: Number(bar.low), close: Number(bar.close),
});
const forming = () => bars.at(-1) ?? null;

export async function load() {
  const mine = ++loading;
  const { tick_size: tick, symbol } = instrument();
  const precision = decimalsOf(tick);
  series.applyOptions({ priceFormat: { type: "custom", formatter: (value) => number(value.toFixed(precision), { min: precision }), minMove: Number(tick) } });
  try {
    const answer = await get("/api/v1/market/bars", { symbol, interval, limit: BARS });
    if (mine !== loading) return;
    bars = answer.items.map(point);
    if (bars.length < FEW && interval === "1m" && !chosen && !localStorage.getItem("interval")) {
      choose("1s"); // a market that has just begun has its history in seconds
      await load();
      return;
    }
    series.setData(bars);
    studies.setBars(bars, precision);
    fills.show(SECONDS[interval], bars[0]?.time ?? Infinity, studies.isOn("fills"));
    showLegend();
    $("#chart-empty").replaceChildren(...(bars.length ? [] : [empty(t("No bars yet"), t("They appear with the first quotes."), "graph-up-arrow")]));
    chart.timeScale().applyOptions({ timeVisible: interval !== "1d", secondsVisible: interval === "1s", barSpacing: 7 });
    chart.timeScale().scrollToRealTime();
  } catch (problem) {
    complain(problem, t("The chart could not be loaded"));
  }
}

function tick(quote) {
  if (quote.symbol !== state.symbol || !series) return;
  const price = Number(quote.mid); // of which the stored bars are made too
  const traded = Number(quote.volume ?? 0);
  const step = SECONDS[interval];
  const start = Math.floor(Date.parse(quote.received_at) / 1000 / step) * step;
  const last = forming();
  if (last && start < last.time) return;
  if (!last || start > last.time) bars.push({ time: start, open: price, high: price, low: price, close: price, volume: traded });
  else bars[bars.length - 1] = { ...last, high: Math.max(last.high, price), low: Math.min(last.low, price), close: price, volume: last.volume + traded };
  $("#chart-empty").replaceChildren();
  series.update(forming());
  studies.update(forming());
  if (!pointed) showLegend();
}

// -- the legend: the bar under the pointer, or the last one

let pointed = null;

function showLegend(at = null, seriesData = null) {
  const bar = at ?? forming();
  const legend = $("#chart-legend");
  if (!bar) { legend.replaceChildren(); return; }
  const digits = decimalsOf(instrument().tick_size);
  const shown = (value) => number(value.toFixed(digits), { min: digits });
  const before = bars[bars.findIndex((known) => known.time === bar.time) - 1];
  const change = before ? ((bar.close - before.close) / before.close) * 100 : null;
  const tone = bar.close >= bar.open ? "up" : "down";
  const part = (name, value) => h("span", {}, h("b", {}, name), h("span", { class: `num ${tone}` }, value));
  legend.replaceChildren(
    part(t("O"), shown(bar.open)), part(t("H"), shown(bar.high)), part(t("L"), shown(bar.low)), part(t("C"), shown(bar.close)),
    change === null ? "" : h("span", { class: `num ${change < 0 ? "down" : "up"}` }, percent(change.toFixed(2))),
    part(t("Vol"), new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 2 }).format(bar.volume)),
    ...studies.readings(seriesData).map(({ text, hue }) => h("span", { class: `num study-${hue}` }, text)));
}

function onMove({ time, seriesData }) {
  pointed = time === undefined ? null : bars.find((bar) => bar.time === time) ?? null;
  showLegend(pointed, pointed ? seriesData : null);
}

function choose(name) {
  interval = name;
  for (const button of $$("#intervals button")) button.setAttribute("aria-pressed", String(button.dataset.interval === name));
}

/** Lines: {price, title, tone, dashed, field}; those with ``field`` can be dragged. Each source draws its own. */
export function drawLines(own, source = "positions") {
  wantedLines.set(source, own);
  if (drag) return;
  const c = colours();
  const wanted = [...wantedLines.values()].flat();
  for (const { handle } of lines) series.removePriceLine(handle);
  lines = wanted.map((line) => ({
    ...line,
    handle: series.createPriceLine({
      price: Number(line.price), title: line.title, color: c[line.tone], lineWidth: 1, axisLabelVisible: true,
      lineStyle: line.dashed ? LineStyle.Dashed : LineStyle.Solid,
    }),
  }));
}

/** The price scale shows the lines that are not far from the bars: one that is would flatten them. */
function withLines(original) {
  const scale = original();
  if (!scale?.priceRange) return scale;
  const { minValue, maxValue } = scale.priceRange;
  const reach = Math.max(maxValue - minValue, maxValue * NEAR_SHARE);
  const near = lines.map((line) => Number(line.price)).filter((price) => price > minValue - reach && price < maxValue + reach);
  return { ...scale, priceRange: { minValue: Math.min(minValue, ...near), maxValue: Math.max(maxValue, ...near) } };
}

function lineAt(y) {
  if (y > chart.panes()[0].getHeight()) return null;
  return lines.find((line) => line.field && Math.abs((series.priceToCoordinate(Number(line.price)) ?? -99) - y) <= NEAR_PX);
}

function priceAt(y) {
  const { tick_size: size } = instrument();
  return (Math.round(series.coordinateToPrice(y) / Number(size)) * Number(size)).toFixed(decimalsOf(size));
}

/** A stop or target is dragged to a new price; letting go asks before it is sent. */
function dragging(holder) {
  const y = (event) => event.clientY - holder.getBoundingClientRect().top;
  holder.addEventListener("pointerdown", (event) => {
    const line = lineAt(y(event));
    if (!line) return;
    event.preventDefault();
    event.stopPropagation();
    drag = line;
    holder.setPointerCapture(event.pointerId);
    chart.applyOptions({ handleScroll: false, handleScale: false });
  }, true);
  holder.addEventListener("pointermove", (event) => {
    if (!drag) {
      holder.classList.toggle("grab", Boolean(lineAt(y(event))));
      return;
    }
    drag.moved = priceAt(y(event));
    drag.handle.applyOptions({ price: Number(drag.moved), title: `${drag.title} ${number(drag.moved)}` });
  });
  const drop = () => {
    if (!drag) return;
    const line = drag;
    drag = null;
    chart.applyOptions({ handleScroll: true, handleScale: true });
    if (line.moved && line.moved !== line.price) tell("drop", line);
    else tell("lines");
  };
  holder.addEventListener("pointerup", drop);
  holder.addEventListener("pointercancel", drop);
}

/** A click on a price is told to the ticket. The chart's own event misses the second of two quick ones. */
function picking(holder) {
  let down = null;
  holder.addEventListener("pointerdown", (event) => { down = lineAt(event.clientY - holder.getBoundingClientRect().top) ? null : event; }, true);
  holder.addEventListener("click", (event) => {
    const box = holder.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const still = down && Math.hypot(event.clientX - down.clientX, event.clientY - down.clientY) < NEAR_PX;
    // a finger on the chart looks, it does not fill in
    if (!still || down.pointerType !== "mouse" || x > holder.clientWidth - chart.priceScale("right").width() || y > chart.panes()[0].getHeight()) return;
    tell("pick", priceAt(y));
  });
}

export function start() {
  const holder = $("#chart");
  const made = makeChart(holder, {
    crosshair: { mode: CrosshairMode.Normal }, timeScale: { rightOffset: 6 },
    localization: { timeFormatter: (time) => stamp(time, { dateStyle: "short", timeStyle: interval === "1d" ? undefined : "medium" }) },
  }, (c) => {
    series?.applyOptions({ upColor: c.up, downColor: c.down, wickUpColor: c.up, wickDownColor: c.down, borderVisible: false });
    studies.paint(c);
    tell("lines");
  });
  chart = made.chart;
  series = chart.addSeries(CandlestickSeries, { autoscaleInfoProvider: withLines });
  series.priceScale().applyOptions({ scaleMargins: { top: 0.12, bottom: 0.2 } });
  studies.start(chart, colours(), () => { fills.show(SECONDS[interval], bars[0]?.time ?? Infinity, studies.isOn("fills")); showLegend(); });
  fills.start(series);
  made.repaint();
  dragging(holder);
  chart.subscribeCrosshairMove(onMove);
  picking(holder);
  choose(chosen ? interval : "1m");
  for (const button of $$("#intervals button")) {
    button.addEventListener("click", () => {
      localStorage.setItem("interval", button.dataset.interval);
      choose(button.dataset.interval);
      load();
    });
  }
  watch("symbol", load);
  watch("quote", tick);
  watch("resync", load);
}

/** Where a line that can be dragged stands, in pixels from the chart's top; for what drives the page from outside. */
export function lineHeight(field) {
  const line = lines.find((known) => known.field === field);
  return line ? series.priceToCoordinate(Number(line.price)) : null;
}

// The chart: stored bars, the forming one from live quotes, and lines for what is at stake.

import { CandlestickSeries, CrosshairMode, LineStyle, createChart } from "../../vendor/lightweight-charts/lightweight-charts.production.js";
import { get } from "../api.js";
import { decimalsOf } from "../decimal.js";
import { $, $$, empty } from "../dom.js";
import { number } from "../format.js";
import { locale, t } from "../i18n.js";
import { complain } from "../toast.js";
import { instrument, state, tell, watch } from "./state.js";

const SECONDS = { "1s": 1, "1m": 60, "5m": 300, "15m": 900, "1h": 3600, "4h": 14400, "1d": 86400 };
const BARS = 500;
const FEW = 5;
const NEAR_PX = 6;
const NEAR_SHARE = 0.03;

let chart;
let series;
let interval = localStorage.getItem("interval");
const chosen = Boolean(SECONDS[interval]);
let forming = null;
let loading = 0;
let lines = [];
let drag = null;

function colours() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(name).trim();
  return { text: of("--muted"), grid: of("--bs-border-color"), up: of("--buy"), down: of("--sell"), brand: of("--brand"), warn: of("--warn"), info: of("--info") };
}

function paint() {
  const c = colours();
  chart.applyOptions({
    layout: { background: { color: "transparent" }, textColor: c.text, fontSize: 11 },
    grid: { vertLines: { color: c.grid }, horzLines: { color: c.grid } },
    rightPriceScale: { borderColor: c.grid }, timeScale: { borderColor: c.grid },
  });
  series.applyOptions({ upColor: c.up, downColor: c.down, wickUpColor: c.up, wickDownColor: c.down, borderVisible: false });
}

const stamp = (seconds, options) => new Intl.DateTimeFormat(locale, options).format(new Date(seconds * 1000));

function axis(seconds, kind) { // kind: 0 year, 1 month, 2 day, 3 time, 4 time with seconds
  if (kind === 0) return stamp(seconds, { year: "numeric" });
  if (kind === 1) return stamp(seconds, { month: "short" });
  if (kind === 2) return stamp(seconds, { day: "numeric", month: "short" });
  return stamp(seconds, { hour: "2-digit", minute: "2-digit", hour12: false, ...(kind === 4 ? { second: "2-digit" } : {}) });
}

// the chart draws pixels, not money: here alone prices become numbers
const point = (bar) => ({
  time: Math.floor(Date.parse(bar.start ?? bar.time) / 1000),
  open: Number(bar.open), high: Number(bar.high), low: Number(bar.low), close: Number(bar.close),
});

export async function load() {
  const mine = ++loading;
  const { tick_size: tick, symbol } = instrument();
  const precision = decimalsOf(tick);
  series.applyOptions({ priceFormat: { type: "price", precision, minMove: Number(tick) } });
  try {
    const answer = await get("/api/v1/market/bars", { symbol, interval, limit: BARS });
    if (mine !== loading) return;
    const bars = answer.items.map(point);
    if (bars.length < FEW && interval === "1m" && !chosen && !localStorage.getItem("interval")) {
      choose("1s"); // a market that has just begun has its history in seconds
      await load();
      return;
    }
    series.setData(bars);
    forming = bars.at(-1) ?? null;
    $("#chart-empty").replaceChildren(...(bars.length ? [] : [empty(t("No bars yet"), t("They appear with the first quotes."), "graph-up-arrow")]));
    chart.timeScale().applyOptions({ timeVisible: interval !== "1d", secondsVisible: interval === "1s", barSpacing: 7 });
    chart.timeScale().scrollToRealTime();
  } catch (problem) {
    complain(problem, t("The chart could not be loaded"));
  }
}

function tick(quote) {
  if (quote.symbol !== state.symbol || !series) return;
  const price = Number(quote.last ?? quote.mid);
  const step = SECONDS[interval];
  const start = Math.floor(Date.parse(quote.received_at) / 1000 / step) * step;
  if (forming && start < forming.time) return;
  if (!forming || start > forming.time) forming = { time: start, open: price, high: price, low: price, close: price };
  else forming = { ...forming, high: Math.max(forming.high, price), low: Math.min(forming.low, price), close: price };
  $("#chart-empty").replaceChildren();
  series.update(forming);
}

function choose(name) {
  interval = name;
  for (const button of $$("#intervals button")) button.setAttribute("aria-pressed", String(button.dataset.interval === name));
}

/** Lines: {price, title, tone, style, position, field}; those with ``field`` can be dragged. */
export function drawLines(wanted) {
  if (drag) return;
  const c = colours();
  for (const { handle } of lines) series.removePriceLine(handle);
  lines = wanted.map((line) => ({
    ...line,
    handle: series.createPriceLine({
      price: Number(line.price), title: line.title, color: c[line.tone], lineWidth: 1, axisLabelVisible: true,
      lineStyle: line.dashed ? LineStyle.Dashed : LineStyle.Solid,
    }),
  }));
}

/** The price scale shows the lines that are not far from the bars. */
function withLines(original) {
  const scale = original();
  if (!scale?.priceRange) return scale;
  const { minValue, maxValue } = scale.priceRange;
  const near = lines.map((line) => Number(line.price)).filter((price) => Math.abs(price / maxValue - 1) < NEAR_SHARE);
  return { ...scale, priceRange: { minValue: Math.min(minValue, ...near), maxValue: Math.max(maxValue, ...near) } };
}

function lineAt(y) {
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

export function start() {
  const holder = $("#chart");
  chart = createChart(holder, {
    autoSize: true, layout: { attributionLogo: false }, crosshair: { mode: CrosshairMode.Normal },
    localization: { locale, timeFormatter: (time) => stamp(time, { dateStyle: "short", timeStyle: "medium" }) },
    timeScale: { tickMarkFormatter: axis, rightOffset: 6 },
  });
  series = chart.addSeries(CandlestickSeries, { autoscaleInfoProvider: withLines });
  paint();
  dragging(holder);
  document.addEventListener("themechange", () => { paint(); tell("lines"); });
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

/** Where a line that can be dragged stands, in pixels from the chart's top. */
export function lineHeight(field) {
  const line = lines.find((known) => known.field === field);
  return line ? series.priceToCoordinate(Number(line.price)) : null;
}

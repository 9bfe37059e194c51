// The last 24 hours of every instrument: change, high, low, volume, and a sparkline of the hours.

import { get } from "../api.js";
import { compare, sign, subtract, units } from "../decimal.js";
import { $, setText } from "../dom.js";
import * as format from "../format.js";
import { locale } from "../i18n.js";
import { instrument, quote, state, watch } from "./state.js";

const REFRESH_MS = 5 * 60_000;
const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 100;
const HEIGHT = 20;
const days = new Map();
const compact = new Intl.NumberFormat(locale, { notation: "compact", maximumFractionDigits: 2 });
let watcher = () => {};

/** The change to now in percent with two decimals, as text; null where a day ago is not known. */
export function change(symbol) {
  const day = days.get(symbol);
  if (!day) return null;
  const now = quote(symbol)?.mid ?? day.close;
  const from = units(day.open);
  const moved = units(subtract(now, day.open));
  const hundredths = (moved * 20_000n + (moved < 0n ? -from : from)) / (2n * from); // rounded half away from zero
  const digits = String(hundredths < 0n ? -hundredths : hundredths).padStart(3, "0");
  return `${hundredths < 0n ? "-" : ""}${digits.slice(0, -2)}.${digits.slice(-2)}`;
}

/** A line through the hours' closes and the price of now; as high as it is wide, stretched by its style. */
export function spark(symbol) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "spark");
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS(SVG, "path"));
  redraw(svg, symbol);
  return svg;
}

/** Draw it again; pixels, not money. */
export function redraw(svg, symbol) {
  const day = days.get(symbol);
  if (!day) return;
  const prices = [day.open, ...day.closes.slice(0, -1), quote(symbol)?.mid ?? day.close].map(Number);
  const low = Math.min(...prices);
  const span = Math.max(...prices) - low || 1;
  const step = WIDTH / (prices.length - 1);
  const points = prices.map((price, index) => `${(index * step).toFixed(1)} ${(HEIGHT - ((price - low) / span) * HEIGHT).toFixed(1)}`);
  svg.firstChild.setAttribute("d", `M${points.join("L")}`);
  svg.firstChild.setAttribute("class", sign(change(symbol)) < 0 ? "down" : "up");
}

/** The chosen instrument's day in the bar over the chart. */
export function showChosen() {
  const day = days.get(state.symbol);
  const { tick_size: tick, base } = instrument();
  const moved = change(state.symbol);
  const now = quote(state.symbol)?.mid;
  setText($("#day-change"), format.percent(moved));
  $("#day-change").className = moved === null ? "" : format.tone(moved);
  setText($("#day-high"), day ? format.price(now && compare(now, day.high) > 0 ? now : day.high, tick) : "–");
  setText($("#day-low"), day ? format.price(now && compare(now, day.low) < 0 ? now : day.low, tick) : "–");
  setText($("#day-volume"), day ? `${compact.format(Number(day.volume))} ${base}` : "–");
}

async function load() {
  const answer = await get("/api/v1/market/day").catch(() => ({ items: [] })); // a list without its changes is a list
  for (const day of answer.items) days.set(day.symbol, day);
  watcher();
  showChosen();
}

export function start(changed) {
  watcher = changed;
  watch("symbol", showChosen);
  watch("resync", load);
  setInterval(load, REFRESH_MS);
  return load();
}

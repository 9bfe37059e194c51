// What all charts share: colours of the theme, words for times. Here alone amounts become numbers: pixels, not money.

import { ColorType, createChart } from "../vendor/lightweight-charts/lightweight-charts.production.js";
import { locale } from "./i18n.js";

export function colours() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(name).trim();
  return { text: of("--muted"), grid: of("--bs-border-color"), panel: of("--panel"), up: of("--buy"), down: of("--sell"), brand: of("--brand"), warn: of("--warn"), info: of("--info") };
}

/** A colour of the theme (#rrggbb) with an opacity of 0 to 1. */
export function fade(colour, opacity) {
  const hex = colour.length === 4 ? colour.replace(/[0-9a-f]/gi, "$&$&") : colour;
  return `${hex}${Math.round(opacity * 255).toString(16).padStart(2, "0")}`;
}

/** A moment in seconds, or a day, which is the same day wherever the reader is. */
function dateOf(time) {
  if (typeof time === "number") return new Date(time * 1000);
  return typeof time === "string" ? new Date(`${time}T12:00:00`) : new Date(time.year, time.month - 1, time.day, 12);
}

export const stamp = (time, options) => new Intl.DateTimeFormat(locale, options).format(dateOf(time));
export const seconds = (iso) => Math.floor(Date.parse(iso) / 1000);

function axis(time, kind) { // kind: 0 year, 1 month, 2 day, 3 time, 4 time with seconds
  if (kind === 0) return stamp(time, { year: "numeric" });
  if (kind === 1) return stamp(time, { month: "short" });
  if (kind === 2) return stamp(time, { day: "numeric", month: "short" });
  return stamp(time, { hour: "2-digit", minute: "2-digit", hour12: false, ...(kind === 4 ? { second: "2-digit" } : {}) });
}

export function painted(c) {
  return {
    layout: { background: { type: ColorType.Solid, color: "transparent" }, textColor: c.text, fontSize: 11, panes: { separatorColor: c.grid } },
    grid: { vertLines: { color: c.grid }, horzLines: { color: c.grid } },
    rightPriceScale: { borderColor: c.grid, entireTextOnly: true }, timeScale: { borderColor: c.grid },
  };
}

/** A chart in the holder; ``paint(colours)`` is called now and whenever the theme changes. */
export function makeChart(holder, options, paint = () => {}) {
  const chart = createChart(holder, {
    autoSize: true,
    localization: { locale, timeFormatter: (time) => stamp(time, { dateStyle: "short", timeStyle: "short" }), ...options.localization },
    ...options,
    layout: { attributionLogo: false, ...options.layout },
    timeScale: { tickMarkFormatter: axis, timeVisible: true, ...options.timeScale },
  });
  const repaint = () => { const c = colours(); chart.applyOptions(painted(c)); paint(c); };
  document.addEventListener("themechange", repaint);
  return { chart, repaint };
}

// What can be switched on over the bars: averages, RSI, volume, one's own fills. The choice is remembered.

import { HistogramSeries, LineSeries, LineStyle } from "../../vendor/lightweight-charts/lightweight-charts.production.js";
import { fade } from "../chart_style.js";
import { $, $$, h } from "../dom.js";
import * as format from "../format.js";
import { t } from "../i18n.js";
import { ema, rsi, sma } from "./indicators.js";

const RSI_PX = 96;
// hues that stay apart on both themes and from the colours of the bars
const HUES = { sma20: "#d9932a", sma50: "#3d7be0", ema20: "#8a63d2", sma200: "#d2557e", rsi14: "#0f9a8f" };
const STUDIES = {
  sma20: { text: "MA 20", of: (bars) => sma(bars, 20) },
  sma50: { text: "MA 50", of: (bars) => sma(bars, 50) },
  sma200: { text: "MA 200", of: (bars) => sma(bars, 200) },
  ema20: { text: "EMA 20", of: (bars) => ema(bars, 20) },
  rsi14: { text: "RSI 14", of: (bars) => rsi(bars, 14), pane: 1 },
};
const DEFAULT = ["volume", "fills"];

let chart;
let bars = [];
let palette = {};
let decimals = 2;
const drawn = new Map();
let volume = null;
let watcher = () => {};

const chosen = new Set(remembered());

function remembered() {
  try {
    const names = JSON.parse(localStorage.getItem("studies"));
    return Array.isArray(names) ? names : DEFAULT;
  } catch {
    return DEFAULT;
  }
}

export const isOn = (name) => chosen.has(name);

function toggle(name, on) {
  if (on) chosen.add(name);
  else chosen.delete(name);
  localStorage.setItem("studies", JSON.stringify([...chosen]));
  apply();
  watcher(name, on);
}

/** Add and remove what was switched; then all of them follow the bars. */
function apply() {
  for (const [name, study] of Object.entries(STUDIES)) {
    if (isOn(name) && !drawn.has(name)) drawn.set(name, add(name, study));
    if (!isOn(name) && drawn.has(name)) { chart.removeSeries(drawn.get(name)); drawn.delete(name); }
  }
  if (isOn("volume") && !volume) volume = addVolume();
  if (!isOn("volume") && volume) { chart.removeSeries(volume); volume = null; }
  redraw();
}

function add(name, { pane = 0 }) {
  const options = { color: HUES[name], lineWidth: pane ? 1.5 : 1, priceLineVisible: false, lastValueVisible: Boolean(pane), crosshairMarkerVisible: false };
  const series = chart.addSeries(LineSeries, options, pane);
  if (pane) {
    series.applyOptions({ autoscaleInfoProvider: () => ({ priceRange: { minValue: 10, maxValue: 90 } }), priceFormat: { type: "price", precision: 0, minMove: 1 } });
    for (const level of [30, 70]) series.createPriceLine({ price: level, color: palette.text, lineWidth: 1, lineStyle: LineStyle.Dotted, axisLabelVisible: false });
    chart.panes()[pane].setHeight(RSI_PX);
  }
  return series;
}

function addVolume() {
  const series = chart.addSeries(HistogramSeries, { priceScaleId: "volume", priceFormat: { type: "volume" }, priceLineVisible: false, lastValueVisible: false });
  series.priceScale().applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
  return series;
}

const volumeOf = (bar) => ({ time: bar.time, value: bar.volume, color: fade(bar.close >= bar.open ? palette.up : palette.down, 0.35) });

function redraw() {
  volume?.setData(bars.map(volumeOf));
  for (const [name, series] of drawn) series.setData(STUDIES[name].of(bars));
}

/** All bars anew, oldest first; ``precision`` is the instrument's. */
export function setBars(list, precision) {
  bars = list;
  decimals = precision;
  for (const [name, series] of drawn) if (!STUDIES[name].pane) series.applyOptions({ priceFormat: { type: "price", precision, minMove: 10 ** -precision } });
  redraw();
}

/** The last bar has changed, or a new one begun. */
export function update(bar) {
  volume?.update(volumeOf(bar));
  for (const [name, series] of drawn) {
    const point = STUDIES[name].of(bars).at(-1);
    if (point) series.update(point);
  }
}

export function paint(colours) {
  palette = colours;
  if (chart) redraw();
}

/** What the legend says of the studies at a bar: text and colour. */
export function readings(seriesData) {
  return [...drawn].map(([name, series]) => {
    const point = seriesData?.get(series) ?? series.data().at(-1);
    return point && { text: `${STUDIES[name].text} ${format.number(point.value.toFixed(STUDIES[name].pane ? 1 : decimals), { min: STUDIES[name].pane ? 1 : decimals })}`, hue: name };
  }).filter(Boolean);
}

function entry(name, text) {
  const box = h("input", { class: "form-check-input", type: "checkbox", id: `study-${name}`, "data-study": name, onchange: (event) => toggle(name, event.target.checked) });
  box.checked = isOn(name);
  return h("div", { class: "form-check" }, box, h("label", { class: `form-check-label study-${name}`, for: `study-${name}` }, text));
}

export function start(made, colours, changed) {
  chart = made;
  palette = colours;
  watcher = changed;
  const names = [["volume", t("Volume")], ...Object.entries(STUDIES).map(([name, { text }]) => [name, text]), ["fills", t("My fills")]];
  $("#studies").replaceChildren(...names.map(([name, text]) => entry(name, text)));
  for (const box of $$("#studies input")) box.addEventListener("click", (event) => event.stopPropagation());
  apply();
}

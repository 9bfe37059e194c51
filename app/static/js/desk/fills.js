// One's own fills as arrows under and over the bars they happened in.

import { createSeriesMarkers } from "../../vendor/lightweight-charts/lightweight-charts.production.js";
import { get } from "../api.js";
import { colours, seconds } from "../chart_style.js";
import { sum } from "../decimal.js";
import * as format from "../format.js";
import * as live from "../live.js";
import { state, watch } from "./state.js";

const MOST = 200;
const APART = 8; // bars: the quantities of nearer fills would be written over each other
let markers;
let fills = [];
let frame = { step: 60, first: Infinity, on: true };
let serial = 0;

async function load() {
  const mine = ++serial;
  fills = [];
  if (state.wallet && state.symbol) {
    // without them the chart is whole: the list of executions says what is wrong
    const answer = await get("/api/v1/executions", { wallet_id: state.wallet.id, symbol: state.symbol, limit: MOST }).catch(() => ({ items: [] }));
    if (mine !== serial) return;
    fills = answer.items;
  }
  draw();
}

/** Fills of one side in one bar are one arrow. */
function grouped() {
  const groups = new Map();
  for (const fill of fills) {
    const at = seconds(fill.executed_at);
    const time = Math.floor(at / frame.step) * frame.step;
    if (time < frame.first) continue;
    const key = `${time}:${fill.side}`;
    groups.set(key, { time, side: fill.side, quantities: [...(groups.get(key)?.quantities ?? []), fill.qty] });
  }
  return [...groups.values()].sort((a, b) => a.time - b.time);
}

function draw() {
  if (!markers) return;
  const c = colours();
  const groups = frame.on ? grouped() : [];
  const alone = (group) => !groups.some((other) => other !== group && other.side === group.side && Math.abs(other.time - group.time) < APART * frame.step);
  markers.setMarkers(groups.map((group) => ({
    time: group.time, position: group.side === "BUY" ? "belowBar" : "aboveBar", shape: group.side === "BUY" ? "arrowUp" : "arrowDown",
    color: group.side === "BUY" ? c.up : c.down, text: alone(group) ? format.number(sum(group.quantities)) : "",
  })));
  document.getElementById("chart").dataset.fills = String(groups.length);
}

/** Bars of ``step`` seconds are shown from ``first`` on. */
export function show(step, first, on) {
  frame = { step, first, on };
  draw();
}

export function start(series) {
  markers = createSeriesMarkers(series, []);
  live.on("execution.created", ({ data }) => {
    if (data.wallet_id !== state.wallet?.id || data.symbol !== state.symbol || fills.some((fill) => fill.id === data.id)) return;
    fills = [data, ...fills].slice(0, MOST);
    draw();
  });
  document.addEventListener("themechange", draw);
  for (const topic of ["wallet", "symbol", "resync"]) watch(topic, load);
}

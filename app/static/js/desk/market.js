// The list of instruments with their live quotes, and the quote of the chosen one.

import { get } from "../api.js";
import { now } from "../clock.js";
import { compare, decimalsOf } from "../decimal.js";
import { $, h, setText } from "../dom.js";
import * as format from "../format.js";
import { t } from "../i18n.js";
import * as live from "../live.js";
import { instrument, instruments, setSymbol, state, tell, watch } from "./state.js";

const STALE_MS = 15_000;
const rows = new Map();

function build() {
  const list = $("#symbols");
  for (const item of instruments) {
    const price = h("span", { class: "price" }, "–");
    const spread = h("span", { class: "sub end" });
    const button = h("button", { type: "button", "data-symbol": item.symbol, onclick: () => setSymbol(item.symbol) },
      h("span", { class: "name" }, item.symbol), price, h("span", { class: "sub" }, item.name), spread);
    rows.set(item.symbol, { button, price, spread });
    list.append(button);
  }
}

function show(quote, before) {
  const row = rows.get(quote.symbol);
  const tick = instrument(quote.symbol).tick_size;
  setText(row.price, format.price(quote.last ?? quote.mid, tick));
  setText(row.spread, format.number(quote.spread, { min: decimalsOf(tick) }));
  if (before) {
    const change = compare(quote.mid, before.mid);
    if (change) row.price.className = `price ${change > 0 ? "tick-up" : "tick-down"}`;
  }
  if (quote.symbol === state.symbol) showChosen(before);
}

function showChosen(before) {
  const quote = state.quotes.get(state.symbol);
  const { tick_size: tick, name, symbol } = instrument();
  setText($("#quote-symbol"), symbol);
  setText($("#quote-name"), name);
  setText($("#quote-bid"), format.price(quote?.bid, tick));
  setText($("#quote-ask"), format.price(quote?.ask, tick));
  setText($("#quote-spread"), quote ? format.number(quote.spread, { min: decimalsOf(tick) }) : "–");
  setText($("#quote-age"), quote ? format.time(quote.received_at) : "–");
  const last = $("#quote-last");
  setText(last, quote ? format.price(quote.last ?? quote.mid, tick) : "–");
  if (!before || before.symbol !== symbol) last.className = "last";
  else if (compare(quote.mid, before.mid)) last.className = `last ${compare(quote.mid, before.mid) > 0 ? "tick-up" : "tick-down"}`;
  watchAge();
}

function watchAge() {
  const quote = state.quotes.get(state.symbol);
  const stale = !quote || now() - Date.parse(quote.received_at) > STALE_MS;
  $("#quote-bar").classList.toggle("stale", stale);
  setText($("#quote-state"), quote ? (stale ? t("Quote is old") : "") : t("No quote yet"));
}

function take(quote) {
  const before = state.quotes.get(quote.symbol);
  if (!rows.has(quote.symbol) || (before && before.received_at > quote.received_at)) return;
  state.quotes.set(quote.symbol, quote);
  show(quote, before);
  tell("quote", quote);
}

export async function start() {
  build();
  watch("symbol", (symbol) => {
    for (const [name, row] of rows) {
      if (name === symbol) row.button.setAttribute("aria-current", "true");
      else row.button.removeAttribute("aria-current");
    }
    showChosen();
  });
  live.on("quote", take);
  live.subscribe(instruments.map((item) => item.symbol));
  setInterval(watchAge, 2000);
  const answer = await get("/api/v1/market/quotes");
  for (const quote of answer.items ?? answer.quotes ?? []) take(quote);
}

// The list of instruments with their live quotes, searched and with favourites, and the quote of the chosen one.

import { get } from "../api.js";
import { now } from "../clock.js";
import { compare, decimalsOf } from "../decimal.js";
import { $, h, setText } from "../dom.js";
import * as format from "../format.js";
import { t } from "../i18n.js";
import * as live from "../live.js";
import * as day from "./day.js";
import { instrument, instruments, setSymbol, state, tell, watch } from "./state.js";

const STALE_MS = 15_000;
const rows = new Map();

const favourites = new Set(remembered());
let onlyFavourites = localStorage.getItem("only-favourites") === "yes";

function remembered() {
  try {
    const names = JSON.parse(localStorage.getItem("favourites"));
    return Array.isArray(names) ? names : [];
  } catch {
    return [];
  }
}

function build() {
  for (const item of instruments) {
    const { symbol, name } = item;
    const row = {
      price: h("span", { class: "price" }, "–"), change: h("span", { class: "change" }),
      spread: h("span", { class: "sub end" }), spark: day.spark(symbol), item,
    };
    row.button = h("button", { type: "button", "data-symbol": symbol, onclick: () => setSymbol(symbol) },
      h("span", { class: "name" }, symbol), row.price, h("span", { class: "sub" }, name), row.spread, row.spark, row.change);
    row.star = h("button", { type: "button", class: "star", "aria-pressed": "false", "aria-label": t("Favorite %(symbol)s", { symbol }), onclick: () => favour(symbol) }, "☆");
    row.node = h("div", { class: "instrument" }, row.button, row.star);
    rows.set(symbol, row);
  }
  $("#market-search").addEventListener("input", arrange);
  $("#market-search").addEventListener("keydown", (event) => {
    if (event.key === "Enter") $("#symbols button[data-symbol]")?.click();
    if (event.key === "Escape") { event.target.value = ""; arrange(); }
  });
  $("#market-favourites").addEventListener("click", () => {
    onlyFavourites = !onlyFavourites;
    localStorage.setItem("only-favourites", onlyFavourites ? "yes" : "no");
    arrange();
  });
  arrange();
}

function favour(symbol) {
  if (!favourites.delete(symbol)) favourites.add(symbol);
  localStorage.setItem("favourites", JSON.stringify([...favourites]));
  arrange();
  rows.get(symbol).star.focus();
}

/** What is searched for, favourites first; both orders are the catalogue's. */
function arrange() {
  const words = $("#market-search").value.trim().toLowerCase();
  const plain = words.replace(/[^a-z0-9]/g, "");
  const found = [...rows.values()].filter(({ item: { symbol, name, market } }) =>
    (!words || `${symbol} ${name} ${market}`.toLowerCase().includes(words) || (plain && symbol.toLowerCase().replace("/", "").includes(plain)))
    && (words || !onlyFavourites || favourites.has(symbol)));
  const first = (row) => Number(!favourites.has(row.item.symbol));
  for (const row of rows.values()) {
    const chosen = favourites.has(row.item.symbol);
    row.star.setAttribute("aria-pressed", String(chosen));
    setText(row.star, chosen ? "★" : "☆");
  }
  $("#market-favourites").setAttribute("aria-pressed", String(onlyFavourites));
  const none = h("p", { class: "text-secondary small p-3 mb-0" }, words ? t("No instrument is called so.") : t("No favorites yet: mark one with its star."));
  $("#symbols").replaceChildren(...(found.length ? found.sort((a, b) => first(a) - first(b)).map((row) => row.node) : [none]));
}

function showDay(symbol) {
  const row = rows.get(symbol);
  const moved = day.change(symbol);
  setText(row.change, format.percent(moved));
  row.change.className = `change ${moved === null ? "" : format.tone(moved)}`;
}

function showDays() {
  for (const [symbol, row] of rows) { showDay(symbol); day.redraw(row.spark, symbol); }
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
  showDay(quote.symbol);
  if (quote.symbol === state.symbol) { showChosen(before); day.showChosen(); }
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
  const known = day.start(showDays);
  const answer = await get("/api/v1/market/quotes");
  for (const quote of answer.items ?? answer.quotes ?? []) take(quote);
  await known;
}

// The order ticket: what is typed, what it would cost, and sending it once.

import { get, newOrderId, post } from "../api.js";
import { confirm, showErrors } from "../confirm.js";
import { floorTo, fromUnits, sign, typed, units } from "../decimal.js";
import { $, $$, h, setText } from "../dom.js";
import { money, number, price } from "../format.js";
import { t } from "../i18n.js";
import { label } from "../labels.js";
import * as live from "../live.js";
import { amount as amountOf, forInput, onTick } from "../numbers.js";
import { complain, toast } from "../toast.js";
import { Check, changes, failures } from "./check.js";
import { instrument, mayTrade, quote, state, watch } from "./state.js";

const LOOK_MS = 2000;
const EXITS = ["stop_loss", "take_profit", "trailing_stop.value", "trailing_stop.activation_price", "break_even_percent"];

const form = $("#ticket");
const amount = () => $("#ticket-amount");
let side = "BUY";
let key = null; // names one intended order, however often the button is pressed
let check = null;
let sending = false; // from the first press until the answer
let unanswered = null; // an order whose answer was lost: {key, wallet}

export function setSide(next) {
  side = next;
  for (const button of $$(".sides button", form)) button.setAttribute("aria-pressed", String(button.dataset.side === side));
  // the form's words for money follow the side: a sale has no exits to attach and names no amount of quote currency
  $("#ticket-exits").hidden = side === "SELL";
  if (side === "SELL") setUnit("qty");
  arrange();
  changed();
}

function setUnit(unit) {
  amount().name = unit;
  $("#ticket-unit").value = unit;
  arrange();
}

function arrange() {
  const { base, quote: currency, tick_size: tick, lot_size: lot } = instrument();
  const limit = form.elements.type.value === "LIMIT";
  $("#ticket-price").hidden = !limit;
  $("#ticket-post-only").hidden = !limit;
  const choice = $("#ticket-unit");
  setText(choice.options[0], base);
  setText(choice.options[1], currency);
  choice.disabled = limit || side === "SELL";
  if (choice.disabled && amount().name !== "qty") { amount().name = "qty"; choice.value = "qty"; }
  for (const node of $$("[data-unit=quote]", form)) setText(node, currency);
  form.elements.price.placeholder = forInput(tick);
  amount().placeholder = forInput(amount().name === "qty" ? lot : "0.00");
  showQuote();
  label_submit();
}

function label_submit() {
  const submit = $("#ticket-submit");
  const plain = typed(amount().value);
  const what = sign(plain) > 0 ? `${number(plain)} ${amount().name === "qty" ? instrument().base : instrument().quote}` : instrument().base;
  submit.className = `btn w-100 ${side === "BUY" ? "btn-buy" : "btn-sell"}`;
  setText(submit, `${label(side)} ${what}`);
}

function showQuote() {
  const now = quote();
  const tick = instrument().tick_size;
  setText($("[data-side=BUY] span", form), now ? price(now.ask, tick) : "–");
  setText($("[data-side=SELL] span", form), now ? price(now.bid, tick) : "–");
}

/** The request as typed; without what is left empty. Raises ``Unclear`` for a number with two readings. */
function body() {
  const request = { symbol: state.symbol, side, wallet_id: state.wallet?.id, client_id: state.client?.id };
  for (const name of ["type", "time_in_force"]) request[name] = form.elements[name].value;
  const value = (name) => amountOf(form.elements.namedItem(name));
  request[amount().name] = amountOf(amount());
  if (request.type === "LIMIT") {
    request.price = value("price");
    if (form.elements.post_only.checked) request.post_only = true;
  }
  if (side === "SELL" && form.elements.reduce_only.checked) request.reduce_only = true;
  if (side === "BUY") {
    for (const name of ["stop_loss", "take_profit", "break_even_percent"]) if (value(name)) request[name] = value(name);
    if (value("trailing_stop.value")) {
      request.trailing_stop = { type: form.elements.namedItem("trailing_stop.type").value, value: value("trailing_stop.value") };
      if (value("trailing_stop.activation_price")) request.trailing_stop.activation_price = value("trailing_stop.activation_price");
    }
  }
  return request;
}

/** The same, or null with the fields marked. */
function readBody() {
  try {
    return body();
  } catch (unclear) {
    if (!unclear.errors) throw unclear;
    check.refuse(unclear.errors);
    return null;
  }
}

const complete = (request) =>
  Boolean(state.wallet && (request.qty || request.quote_qty) && (request.type !== "LIMIT" || request.price));
const hasExits = (request) => Boolean(request.stop_loss || request.take_profit || request.trailing_stop || request.break_even_percent);

function changed() {
  key = null;
  label_submit();
  $("#ticket-reduce").hidden = side !== "SELL";
  const request = readBody();
  if (request) check.ask(complete(request) ? request : null);
}

function summary(request, answer) {
  const { quote: currency, base, tick_size: tick } = instrument();
  const level = (text) => `${price(text, tick)} ${currency}`;
  const rows = [
    [t("Instrument"), request.symbol],
    [t("Quantity"), request.qty ? money(request.qty, base) : money(request.quote_qty, currency)],
    [t("Price"), request.price ? level(request.price) : t("Market")],
    [t("Valid"), label(request.time_in_force)],
    ...check.figures(answer),
    request.stop_loss && [t("Stop loss"), level(request.stop_loss)],
    request.take_profit && [t("Take profit"), level(request.take_profit)],
    request.trailing_stop && [t("Trailing stop"), `${number(request.trailing_stop.value)} ${{ percent: "%", bps: "bps" }[request.trailing_stop.type] ?? currency}`],
    request.break_even_percent && [t("Break-even at"), `${number(request.break_even_percent)} %`],
    [t("Wallet"), `${state.wallet.name} · ${state.client.name}`],
  ].filter(Boolean);
  return [
    changes(answer) ? h("div", { class: "notice notice-warn mb-3" }, changes(answer)) : "",
    failures(answer) ? h("div", { class: "notice notice-bad mb-3" }, failures(answer)) : "",
    h("dl", { class: "facts" }, rows.map(([term, text]) => h("div", {}, h("dt", {}, term), h("dd", {}, text)))),
  ];
}

/** Whether the person wants this, having seen what it costs and what else it changes. */
async function wanted(request) {
  const style = side === "BUY" ? "btn-buy" : "btn-sell";
  const asks = $("#ticket-ask").checked;
  let answer = check.known(request);
  if (!asks) {
    // who has switched the question off is still asked where exits of what is there already would change
    if (!hasExits(request)) return true;
    answer ??= await check.now(request);
    if (!answer?.changes.length) return true;
  }
  const shown = h("div", {}, ...summary(request, answer).flat());
  const pending = answer ? null : check.now(request).then((found) => {
    shown.replaceChildren(...summary(request, found).flat());
    if (!found) shown.prepend(h("div", { class: "notice notice-warn mb-3" }, t("The order could not be checked. Go back to see why, or confirm to send it as it is.")));
    return Boolean(found?.accepted && !found.changes.length);
  });
  return confirm(`${label(side)} ${request.symbol}`, shown, { action: label(side), style, pending });
}

async function submit(event) {
  event?.preventDefault();
  if (!state.wallet || sending) return;
  const request = readBody();
  if (!request) { form.querySelector(".is-invalid")?.focus(); return; }
  if (!complete(request)) {
    showErrors(form, [{ field: amount().name, message: t("Enter a quantity.") }].filter(() => !typed(amount().value))
      .concat(request.type === "LIMIT" && !request.price ? [{ field: "price", message: t("Enter a price.") }] : []));
    form.querySelector(".is-invalid")?.focus();
    return;
  }
  sending = true;
  try {
    if (await wanted(request)) await place(request);
  } finally {
    sending = false;
  }
}

async function place(request) {
  key ??= newOrderId();
  const mine = key;
  const button = $("#ticket-submit");
  button.disabled = true;
  try {
    taken(await post("/api/v1/orders", { ...request, client_order_id: mine }));
    key = null;
  } catch (problem) {
    if (problem.unknown) {
      // the key is kept: the same order sent again cannot buy twice
      unanswered = { key: mine, wallet: request.wallet_id };
      setTimeout(lookForUnanswered, LOOK_MS);
      toast(t("It is not known whether the order arrived"), { tone: "bad", key: "problem", seconds: 30,
        detail: t("The server did not answer. This page looks as soon as it does; the same order sent again cannot be filled twice.") });
      return;
    }
    const left = showErrors(form, problem.errors ?? [], instrument());
    if (left.length || !problem.errors?.length) complain(problem, t("The order was not accepted"));
    key = null;
  } finally {
    button.disabled = false;
  }
}

function taken(order) {
  unanswered = null;
  showErrors(form, []);
  if (order.status === "REJECTED") { check.failed(order.reject_values ?? []); return; }
  toast(t("Order accepted"), { tone: "info", detail: `${label(order.side)} ${number(order.qty)} ${order.symbol}`, key: order.id });
  // what stays would go out again with the next order: a quantity buys twice, exits move those of the position
  amount().value = "";
  for (const name of EXITS) form.elements.namedItem(name).value = "";
  changed();
}

/** Once the server is back: what became of the order whose answer was lost. */
async function lookForUnanswered() {
  const lost = unanswered;
  if (!lost) return;
  try {
    const recent = await get("/api/v1/orders", { wallet_id: lost.wallet, limit: 100 });
    if (unanswered !== lost) return;
    const order = recent.items.find((item) => item.client_order_id === lost.key);
    unanswered = null;
    if (order) { taken(order); key = null; }
    else toast(t("The order has not arrived"), { tone: "warn", key: "problem", seconds: 15, detail: t("Send it again if you still want it.") });
  } catch {
    setTimeout(lookForUnanswered, LOOK_MS);
  }
}

/** A share of what is available, as the quantity or the amount it pays for. */
function takeShare(percent) {
  const { base, quote: currency, lot_size: lot } = instrument();
  const have = units(state.balances.get(side === "SELL" ? base : currency)?.available ?? "0");
  const part = (have * BigInt(percent)) / 100n;
  const limitPrice = form.elements.type.value === "LIMIT" ? units(typed(form.elements.price.value)) : null;
  if (side === "SELL") amount().value = forInput(floorTo(fromUnits(part), lot));
  else if (form.elements.type.value === "MARKET") {
    setUnit("quote_qty");
    amount().value = forInput(floorTo(fromUnits(part), "0.01"));
  } else if (limitPrice) {
    const rate = units(state.wallet?.taker_rate ?? "0") + 10n ** 18n; // the fee comes out of the same money
    const each = (limitPrice * rate) / 10n ** 18n;
    amount().value = forInput(floorTo(fromUnits((part * 10n ** 18n) / each), lot));
  } else form.elements.price.focus();
  changed();
}

/** Price step with the arrow keys, as traders expect. */
function step(event) {
  if (event.key !== "ArrowUp" && event.key !== "ArrowDown") return;
  const size = event.target.name === "qty" ? instrument().lot_size : instrument().tick_size;
  const value = units(typed(event.target.value));
  if (value === null) return;
  event.preventDefault();
  const next = value + units(size) * (event.shiftKey ? 10n : 1n) * (event.key === "ArrowUp" ? 1n : -1n);
  if (next <= 0n) return;
  event.target.value = forInput(fromUnits(next));
  changed();
}

export const focusAmount = () => amount().focus();
export const send = () => form.requestSubmit();

export function start() {
  check = new Check($("#ticket-check"), form);
  form.addEventListener("input", (event) => {
    if (event.target.id !== "ticket-ask") changed();
  });
  form.addEventListener("submit", submit);
  form.elements.type.addEventListener("change", () => {
    if (form.elements.type.value === "LIMIT" && !form.elements.price.value && quote()) {
      form.elements.price.value = onTick(side === "BUY" ? quote().ask : quote().bid, instrument().tick_size);
    }
    arrange();
    changed();
  });
  $("#ticket-unit").addEventListener("change", (event) => { amount().value = ""; setUnit(event.target.value); });
  for (const button of $$(".sides button", form)) button.addEventListener("click", () => setSide(button.dataset.side));
  for (const button of $$(".shares button", form)) button.addEventListener("click", () => takeShare(button.dataset.share));
  for (const name of ["price", "stop_loss", "take_profit"]) form.elements[name].addEventListener("keydown", step);
  amount().addEventListener("keydown", step);
  const ask = $("#ticket-ask");
  ask.checked = localStorage.getItem("ask") !== "no";
  ask.addEventListener("change", () => localStorage.setItem("ask", ask.checked ? "yes" : "no"));
  watch("symbol", () => {
    for (const name of ["price", ...EXITS]) form.elements.namedItem(name).value = "";
    amount().value = "";
    showErrors(form, []);
    arrange();
    changed();
  });
  watch("wallet", changed);
  live.onState((now) => now === "connected" && lookForUnanswered());
  watch("quote", (now) => now.symbol === state.symbol && showQuote());
  if (!mayTrade) for (const input of form.elements) input.disabled = true;
  setSide("BUY");
}

// The order ticket: what is typed, what it would cost, and sending it once.

import { post } from "../api.js";
import { confirm, showErrors } from "../confirm.js";
import { decimalsOf, floorTo, fromUnits, typed, units } from "../decimal.js";
import { $, $$, h, setText } from "../dom.js";
import { money, number, price } from "../format.js";
import { t } from "../i18n.js";
import { label } from "../labels.js";
import { complain, toast } from "../toast.js";
import { Check } from "./check.js";
import { instrument, mayTrade, quote, state, watch } from "./state.js";

const form = $("#ticket");
const amount = () => $("#ticket-amount");
let side = "BUY";
let key = null; // names one intended order, however often the button is pressed
let check = null;

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
  form.elements.price.placeholder = tick;
  amount().placeholder = amount().name === "qty" ? lot : "0.00";
  showQuote();
  label_submit();
}

function label_submit() {
  const submit = $("#ticket-submit");
  const plain = typed(amount().value);
  const what = units(plain) ? `${number(plain)} ${amount().name === "qty" ? instrument().base : instrument().quote}` : instrument().base;
  submit.className = `btn w-100 ${side === "BUY" ? "btn-buy" : "btn-sell"}`;
  setText(submit, `${label(side)} ${what}`);
}

function showQuote() {
  const now = quote();
  const tick = instrument().tick_size;
  setText($("[data-side=BUY] span", form), now ? price(now.ask, tick) : "–");
  setText($("[data-side=SELL] span", form), now ? price(now.bid, tick) : "–");
}

/** The request as typed; without what is left empty. */
function body() {
  const request = { symbol: state.symbol, side, wallet_id: state.wallet?.id, client_id: state.client?.id };
  for (const name of ["type", "time_in_force"]) request[name] = form.elements[name].value;
  const value = (name) => typed(form.elements.namedItem(name)?.value);
  request[amount().name] = typed(amount().value);
  if (request.type === "LIMIT") {
    request.price = value("price");
    if (form.elements.post_only.checked) request.post_only = true;
  }
  if (side === "SELL" && form.elements.reduce_only.checked) request.reduce_only = true;
  if (side === "BUY") {
    for (const name of ["stop_loss", "take_profit", "break_even_percent"]) if (value(name)) request[name] = value(name);
    if (value("trailing_stop.value")) {
      request.trailing_stop = { type: value("trailing_stop.type"), value: value("trailing_stop.value") };
      if (value("trailing_stop.activation_price")) request.trailing_stop.activation_price = value("trailing_stop.activation_price");
    }
  }
  return request;
}

const complete = (request) =>
  Boolean(state.wallet && (request.qty || request.quote_qty) && (request.type !== "LIMIT" || request.price));

function changed() {
  key = null;
  label_submit();
  const request = body();
  $("#ticket-reduce").hidden = side !== "SELL";
  check.ask(complete(request) ? request : null);
}

function summary(request) {
  const { quote: currency, base } = instrument();
  const rows = [
    [t("Instrument"), request.symbol],
    [t("Quantity"), request.qty ? money(request.qty, base) : money(request.quote_qty, currency)],
    [t("Price"), request.price ? money(request.price, currency) : t("Market")],
    [t("Valid"), label(request.time_in_force)],
    ...check.figures(),
    request.stop_loss && [t("Stop loss"), money(request.stop_loss, currency)],
    request.take_profit && [t("Take profit"), money(request.take_profit, currency)],
    request.trailing_stop && [t("Trailing stop"), number(request.trailing_stop.value)],
    [t("Wallet"), `${state.wallet.name} · ${state.client.name}`],
  ].filter(Boolean);
  return h("dl", { class: "facts" }, rows.map(([term, text]) => h("div", {}, h("dt", {}, term), h("dd", {}, text))));
}

async function submit(event) {
  event?.preventDefault();
  const request = body();
  if (!state.wallet) return;
  if (!complete(request)) {
    showErrors(form, [{ field: amount().name, message: t("Enter a quantity.") }].filter(() => !typed(amount().value))
      .concat(request.type === "LIMIT" && !request.price ? [{ field: "price", message: t("Enter a price.") }] : []));
    return;
  }
  const style = side === "BUY" ? "btn-buy" : "btn-sell";
  const title = `${label(side)} ${request.symbol}`;
  if ($("#ticket-ask").checked && !(await confirm(title, summary(request), { action: label(side), style }))) return;
  key ??= `web-${uuid()}`;
  const button = $("#ticket-submit");
  button.disabled = true;
  try {
    const order = await post("/api/v1/orders", { ...request, client_order_id: key });
    showErrors(form, []);
    if (order.status === "REJECTED") check.failed(order.reject_values ?? []);
    else {
      toast(t("Order accepted"), { tone: "info", detail: `${label(side)} ${number(order.qty)} ${order.symbol}`, key: order.id });
      amount().value = "";
      changed();
    }
    key = null;
  } catch (problem) {
    const left = showErrors(form, problem.errors ?? []);
    if (left.length || !problem.errors?.length) complain(problem, t("The order was not accepted"));
    if (problem.status) key = null; // an answer that was lost keeps the key: sending again cannot buy twice
  } finally {
    button.disabled = false;
  }
}

function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A share of what is available, as the quantity or the amount it pays for. */
function takeShare(percent) {
  const { base, quote: currency, lot_size: lot } = instrument();
  const have = units(state.balances.get(side === "SELL" ? base : currency)?.available ?? "0");
  const part = (have * BigInt(percent)) / 100n;
  const limitPrice = form.elements.type.value === "LIMIT" ? units(typed(form.elements.price.value)) : null;
  if (side === "SELL") amount().value = floorTo(fromUnits(part), lot);
  else if (form.elements.type.value === "MARKET") {
    setUnit("quote_qty");
    amount().value = floorTo(fromUnits(part), "0.01");
  } else if (limitPrice) {
    const rate = units(state.wallet?.taker_rate ?? "0") + 10n ** 18n; // the fee comes out of the same money
    const each = (limitPrice * rate) / 10n ** 18n;
    amount().value = floorTo(fromUnits((part * 10n ** 18n) / each), lot);
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
  const text = fromUnits(next);
  event.target.value = decimalsOf(text) ? text : text;
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
      form.elements.price.value = side === "BUY" ? quote().ask : quote().bid;
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
    for (const name of ["price", "stop_loss", "take_profit", "trailing_stop.activation_price"]) form.elements.namedItem(name).value = "";
    amount().value = "";
    showErrors(form, []);
    arrange();
    changed();
  });
  watch("wallet", changed);
  watch("quote", (now) => now.symbol === state.symbol && showQuote());
  if (!mayTrade) for (const input of form.elements) input.disabled = true;
  setSide("BUY");
}

// Open positions: profit that ticks, protection, closing.

import { get, newOrderId, post, put } from "../api.js";
import { confirm, formDialog } from "../confirm.js";
import { sumShown } from "../decimal.js";
import { $, h, icon, labelled, setText, empty } from "../dom.js";
import { rejectionText } from "../failures.js";
import * as format from "../format.js";
import { t } from "../i18n.js";
import { side, tag } from "../labels.js";
import * as live from "../live.js";
import { amounts, forInput } from "../numbers.js";
import { isMe, nameOf } from "../people.js";
import { complain, toast } from "../toast.js";
import { drawLines } from "./chart.js";
import { instrument, mayTrade, setSymbol, state, tell, watch } from "./state.js";

const positions = new Map();
const cells = new Map();
let serial = 0;

async function load() {
  const mine = ++serial;
  positions.clear();
  if (state.wallet) {
    try {
      const answer = await get("/api/v1/positions", { wallet_id: state.wallet.id, open: true, limit: 200 });
      if (mine !== serial) return;
      for (const position of answer.items) positions.set(position.id, position);
    } catch (problem) {
      complain(problem, t("The positions could not be loaded"));
    }
  }
  draw();
}

function take(event) {
  const position = event.data;
  if (position.wallet_id !== state.wallet?.id) return;
  const known = positions.get(position.id);
  if (known && known.version > position.version) return;
  if (position.status === "CLOSED") {
    positions.delete(position.id);
    if (known) {
      toast(t("Position closed: %(symbol)s", { symbol: position.symbol }), {
        tone: position.realized_pnl.startsWith("-") ? "warn" : "good", key: position.id,
        detail: format.profit(position.realized_pnl, position.quote_currency),
      });
    }
  } else positions.set(position.id, { ...position, current: position.current.price ? position.current : known?.current ?? position.current });
  draw();
}

/** Somebody else has moved the exits of a position: what, from where to where, and who. */
function tellProtection({ data: position, by }) {
  const known = positions.get(position.id);
  if (!known || !by || isMe(by)) return;
  const { tick_size: tick } = instrument(position.symbol);
  const moved = [["stop_loss", t("Stop loss")], ["take_profit", t("Take profit")]]
    .filter(([name]) => known.protection[name] !== position.protection[name])
    .map(([name, text]) => `${text} ${format.price(known.protection[name], tick)} → ${format.price(position.protection[name], tick)}`);
  nameOf(by).then((who) => toast(t("Exits of %(symbol)s changed by %(who)s", { symbol: position.symbol, who }), { tone: "warn", key: `exits-${position.id}`, seconds: 9, detail: moved.join(" · ") }));
}

function sample({ id, current }) {
  const position = positions.get(id);
  if (!position) return;
  position.current = { ...position.current, ...current };
  const row = cells.get(id);
  if (row) showValue(row, position);
  showTotal();
}

function showValue(row, position) {
  const { current, quote_currency: currency } = position;
  setText(row.mark, format.price(current.price, instrument(position.symbol).tick_size));
  setText(row.value, format.money(current.value, currency, { min: 2, max: 2 }));
  setText(row.pnl, format.profit(current.unrealized_pnl, currency));
  setText(row.percent, format.percent(current.unrealized_percent));
  row.pnl.className = `num ${format.tone(current.unrealized_pnl)}`;
  row.percent.className = `num small ${format.tone(current.unrealized_pnl)}`;
}

function showTotal() {
  for (const node of [$("#positions-count"), $("#view-positions")]) setText(node, String(positions.size || ""));
  const byCurrency = Map.groupBy(positions.values(), (position) => position.quote_currency);
  $("#positions-pnl").replaceChildren(...[...byCurrency].map(([currency, held]) => {
    const total = sumShown(held.map((position) => position.current.unrealized_pnl ?? "0"), 2);
    return h("span", { class: `num ms-2 ${format.tone(total)}` }, format.profit(total, currency));
  }));
}

function protectionCell(position) {
  const { protection } = position;
  const tick = instrument(position.symbol).tick_size;
  const parts = [
    protection.stop_loss && h("span", { class: "down text-nowrap", title: t("Stop loss") }, "▼ ", format.price(protection.stop_loss, tick)),
    protection.trailing_stop && h("span", { class: "down", title: t("Trailing stop") }, "⇣ ",
      protection.trailing_stop.trigger_price ? format.price(protection.trailing_stop.trigger_price, tick) : t("waiting")),
    protection.take_profit && h("span", { class: "up text-nowrap", title: t("Take profit") }, "▲ ", format.price(protection.take_profit, tick)),
    protection.break_even_percent && h("span", { class: "text-secondary", title: t("Break-even") }, `BE ${format.number(protection.break_even_percent)} %`),
  ].filter(Boolean);
  return parts.length ? h("span", { class: "d-inline-flex flex-wrap gap-2" }, parts) : h("span", { class: "text-secondary" }, t("none"));
}

function tableRow(position) {
  const tick = instrument(position.symbol).tick_size;
  const cell = { mark: h("span", { class: "num" }), value: h("span", { class: "num" }), pnl: h("span", { class: "num", "data-pnl": position.id }), percent: h("span", { class: "num small" }) };
  cells.set(position.id, cell);
  showValue(cell, position);
  const open = position.status === "OPEN" || position.status === "OPENING";
  return h("tr", { "data-id": position.id },
    h("td", {}, h("button", { type: "button", class: "btn btn-link btn-sm p-0 text-decoration-none", onclick: () => setSymbol(position.symbol) }, position.symbol)),
    h("td", {}, side(position.side)),
    h("td", { class: "end" }, format.number(position.qty)),
    h("td", { class: "end" }, format.price(position.entry.price, tick)),
    h("td", { class: "end" }, cell.mark), h("td", { class: "end" }, cell.value),
    h("td", { class: "end" }, cell.pnl, " ", cell.percent),
    h("td", {}, protectionCell(position)),
    h("td", {}, tag(position.status)),
    h("td", {}, h("div", { class: "row-actions" },
      mayTrade && open && h("button", { type: "button", class: "btn btn-quiet btn-sm btn-icon", onclick: () => protect(position.id), "data-protect": true, title: t("Protect"), "aria-label": t("Protect %(symbol)s", { symbol: position.symbol }) }, icon("shield-check")),
      mayTrade && open && h("button", { type: "button", class: "btn btn-quiet btn-sm btn-icon", onclick: () => close(position.id), "data-close": true, title: t("Close"), "aria-label": t("Close %(symbol)s", { symbol: position.symbol }) }, icon("x-lg")),
      h("a", { class: "btn btn-quiet btn-sm btn-icon", href: `/positions/${position.id}`, "aria-label": t("Details of the position in %(symbol)s", { symbol: position.symbol }) }, icon("info-circle")))));
}

function draw() {
  cells.clear();
  const list = [...positions.values()].sort((a, b) => (a.opened_at < b.opened_at ? 1 : -1));
  $("#positions-body").replaceChildren(...labelled("#positions-body", list.map(tableRow)));
  $("#positions-empty").replaceChildren(...(list.length ? [] : [empty(t("No open positions"), t("Buy something with the ticket; its position appears here."), "briefcase")]));
  showTotal();
  tell("lines");
}

function lines() {
  const wanted = [];
  for (const position of positions.values()) {
    if (position.symbol !== state.symbol) continue;
    const { protection } = position;
    const own = { position: position.id };
    wanted.push({ ...own, price: position.entry.price, title: t("Entry"), tone: "info", dashed: true });
    if (protection.stop_loss) wanted.push({ ...own, price: protection.stop_loss, title: t("Stop"), tone: "down", field: mayTrade ? "stop_loss" : null });
    if (protection.take_profit) wanted.push({ ...own, price: protection.take_profit, title: t("Target"), tone: "up", field: mayTrade ? "take_profit" : null });
    if (protection.trailing_stop?.trigger_price) wanted.push({ ...own, price: protection.trailing_stop.trigger_price, title: t("Trailing"), tone: "warn", dashed: true });
    if (protection.break_even_price) wanted.push({ ...own, price: protection.break_even_price, title: t("Break-even"), tone: "warn", dashed: true });
  }
  drawLines(wanted);
}

async function dropped(line) {
  const position = positions.get(line.position);
  if (!position) return;
  const currency = position.quote_currency;
  const tick = instrument(position.symbol).tick_size;
  const text = t("%(what)s of %(symbol)s: from %(from)s to %(to)s", {
    what: line.title, symbol: position.symbol, from: `${format.price(line.price, tick)} ${currency}`, to: `${format.price(line.moved, tick)} ${currency}`,
  });
  if (await confirm(t("Move the line?"), text, { action: t("Move") })) {
    try {
      await put(`/api/v1/positions/${position.id}/protection`, { [line.field]: line.moved });
    } catch (problem) {
      complain(problem, t("The protection was not changed"));
    }
  }
  tell("lines");
}

function field(name, text, value, unit) {
  const id = `protect-${name}`;
  return h("div", {}, h("label", { class: "form-label", for: id }, text),
    h("div", { class: "input-group input-group-sm" },
      h("input", { class: "form-control end", type: "text", inputmode: "decimal", autocomplete: "off", id, name, value: forInput(value) }),
      h("span", { class: "input-group-text" }, unit)));
}

export async function protect(id) {
  const position = positions.get(id);
  if (!position) return;
  const { protection, quote_currency: currency } = position;
  const trail = protection.trailing_stop ?? {};
  const kinds = [["percent", t("Percent")], ["amount", t("Amount")], ["bps", t("Basis points")]];
  const kind = h("select", { class: "form-select form-select-sm", id: "protect-kind", name: "trailing_stop.type" },
    kinds.map(([value, text]) => h("option", { value, selected: value === (trail.type ?? "percent") }, text)));
  const fields = [
    h("p", { class: "text-secondary small" }, t("What is left empty is removed. The position stands at %(price)s.", { price: `${format.price(position.current.price, instrument(position.symbol).tick_size)} ${currency}` })),
    h("div", { class: "protect-grid" },
      field("stop_loss", t("Stop loss"), protection.stop_loss, currency), field("take_profit", t("Take profit"), protection.take_profit, currency),
      h("div", {}, h("label", { class: "form-label", for: "protect-kind" }, t("Trailing stop by")), kind),
      field("trailing_stop.value", t("Distance"), trail.value, "Δ"),
      field("trailing_stop.activation_price", t("Active from"), trail.activation_price, currency),
      field("break_even_percent", t("Break-even at a profit of"), protection.break_even_percent, "%")),
  ];
  const saved = await formDialog(t("Protect %(symbol)s", { symbol: position.symbol }), fields, (form) => {
    const typed = amounts(["stop_loss", "take_profit", "trailing_stop.value", "trailing_stop.activation_price", "break_even_percent"].map((name) => form.elements.namedItem(name)));
    const value = (name) => typed[name] || null;
    const request = { trailing_stop: null };
    for (const name of ["stop_loss", "take_profit", "break_even_percent"]) request[name] = value(name);
    if (value("trailing_stop.value")) {
      request.trailing_stop = { type: form.elements.namedItem("trailing_stop.type").value, value: value("trailing_stop.value") };
      if (value("trailing_stop.activation_price")) request.trailing_stop.activation_price = value("trailing_stop.activation_price");
    }
    return put(`/api/v1/positions/${id}/protection`, request);
  }, { instrument: instrument(position.symbol) });
  if (saved) toast(t("Protection saved"), { tone: "good" });
}

export async function close(id) {
  const position = positions.get(id);
  if (!position) return;
  const base = instrument(position.symbol).base;
  const fields = [
    h("p", {}, t("Sells at the market, now. Unrealized result: %(pnl)s.", { pnl: format.profit(position.current.unrealized_pnl, position.quote_currency) })),
    field("qty", t("Quantity to close (all: %(qty)s)", { qty: format.money(position.qty, base) }), position.qty, base),
  ];
  const asked = newOrderId(); // one for the dialog: pressed again after a lost answer it sells once
  const order = await formDialog(t("Close %(symbol)s", { symbol: position.symbol }), fields, (form) => {
    const { qty } = amounts([form.elements.qty]);
    return post(`/api/v1/positions/${id}/close`, { client_order_id: asked, ...(qty && qty !== position.qty ? { qty } : { all: true }) });
  }, { instrument: instrument(position.symbol), action: t("Close position"), style: "btn-sell" });
  if (order?.status === "REJECTED") toast(t("Rejected"), { tone: "bad", detail: rejectionText(order) });
}

export function start() {
  live.on("position.opened", take);
  live.on("position.updated", take);
  live.on("position.closed", take);
  live.on("position.protection", (event) => { tellProtection(event); take(event); });
  live.on("position.sample", sample);
  watch("wallet", load);
  watch("resync", load);
  watch("lines", lines);
  watch("symbol", lines);
  watch("drop", dropped);
}

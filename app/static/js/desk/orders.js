// The blotter: live and recent orders of the wallet, amended and cancelled from here.

import { get, patch, post } from "../api.js";
import { confirm, formDialog } from "../confirm.js";
import { $, empty, h, icon, labelled, setText } from "../dom.js";
import { rejection, rejectionText } from "../failures.js";
import * as format from "../format.js";
import { t } from "../i18n.js";
import { isAmendable, isLive, label, side, tag } from "../labels.js";
import * as live from "../live.js";
import { amounts, forInput } from "../numbers.js";
import { complain } from "../toast.js";
import { showOrder } from "./fix.js";
import { instrument, mayTrade, state, watch } from "./state.js";

const MOST = 60;
const orders = new Map();
let serial = 0;

async function load() {
  const mine = ++serial;
  orders.clear();
  if (state.wallet) {
    try {
      const [open, recent] = await Promise.all([
        get("/api/v1/orders", { wallet_id: state.wallet.id, open: true, limit: 200 }),
        get("/api/v1/orders", { wallet_id: state.wallet.id, limit: MOST }),
      ]);
      if (mine !== serial) return;
      for (const order of [...recent.items, ...open.items]) orders.set(order.id, order);
    } catch (problem) {
      complain(problem, t("The orders could not be loaded"));
    }
  }
  draw();
}

function take({ data: order }) {
  if (order.wallet_id !== state.wallet?.id) return;
  const known = orders.get(order.id);
  if (known && known.version > order.version) return;
  orders.set(order.id, order);
  draw(order.id);
}

function qtyCell(order) {
  const filled = order.cum_qty !== "0" && order.status !== "FILLED";
  return filled ? `${format.number(order.cum_qty)} / ${format.number(order.qty)}` : format.number(order.qty);
}

function exits(order) {
  const protection = order.protection;
  if (order.exit_reason) return tag(order.exit_reason, "info");
  if (!protection) return "";
  const tick = instrument(order.symbol).tick_size;
  return h("span", { class: "d-inline-flex flex-wrap gap-2 small" },
    protection.stop_loss && h("span", { class: "down text-nowrap", title: t("Stop loss") }, "▼ ", format.price(protection.stop_loss, tick)),
    protection.take_profit && h("span", { class: "up text-nowrap", title: t("Take profit") }, "▲ ", format.price(protection.take_profit, tick)),
    protection.trailing_stop && h("span", { class: "down", title: t("Trailing stop") }, "⇣ ", format.number(protection.trailing_stop.value)));
}

function tableRow(order, fresh) {
  const tick = instrument(order.symbol).tick_size;
  const what = `${label(order.side)} ${order.symbol}`;
  return h("tr", { "data-id": order.id, "data-status": order.status, class: fresh ? "fresh" : null },
    h("td", { class: "num" }, format.when(order.created_at)),
    h("td", {}, order.symbol), h("td", {}, side(order.side)), h("td", {}, label(order.type)),
    h("td", { class: "end" }, qtyCell(order)),
    h("td", { class: "end" }, order.price ? format.price(order.price, tick) : t("Market")),
    h("td", { class: "end" }, order.avg_px ? format.price(order.avg_px, tick) : "–"),
    h("td", {}, tag(order.status), order.status === "REJECTED" && h("span", { class: "small text-secondary ms-2", title: rejectionText(order) }, rejection(order))),
    h("td", {}, exits(order)),
    h("td", {}, h("div", { class: "row-actions" },
      mayTrade && isAmendable(order) && order.type === "LIMIT" && h("button", { type: "button", class: "btn btn-quiet btn-sm btn-icon", "aria-label": t("Amend %(what)s", { what }), onclick: () => amend(order.id) }, icon("pencil")),
      mayTrade && isLive(order) && order.status !== "PENDING_CANCEL" && h("button", { type: "button", class: "btn btn-quiet btn-sm btn-icon", "data-cancel": true, "aria-label": t("Cancel %(what)s", { what }), onclick: () => cancel(order.id) }, icon("x-lg")),
      h("button", { type: "button", class: "btn btn-quiet btn-sm btn-icon", "data-fix": true, "aria-label": t("History and FIX messages of %(what)s", { what }), onclick: () => showOrder(order) }, icon("list-ul")))));
}

function draw(fresh = null) {
  const list = [...orders.values()].sort((a, b) => Number(isLive(b)) - Number(isLive(a)) || (a.id < b.id ? 1 : -1)).slice(0, 200);
  const body = $("#orders-body");
  const focused = body.contains(document.activeElement) ? document.activeElement.closest("tr")?.dataset.id : null;
  body.replaceChildren(...labelled("#orders-body", list.map((order) => tableRow(order, order.id === fresh))));
  if (focused) body.querySelector(`[data-id="${focused}"] button`)?.focus({ preventScroll: true });
  $("#orders-empty").replaceChildren(...(list.length ? [] : [empty(t("No orders yet"), t("Send one with the ticket; it shows here as it goes on."), "list-ul")]));
  const alive = list.filter(isLive).length;
  setText($("#orders-count"), alive ? String(alive) : "");
  const all = $("#cancel-all");
  if (all) all.disabled = !alive;
}

async function cancel(id) {
  try {
    await post(`/api/v1/orders/${id}/cancel`);
  } catch (problem) {
    complain(problem, t("The order was not canceled"));
  }
}

async function cancelAll() {
  const count = [...orders.values()].filter(isLive).length;
  if (!(await confirm(t("Cancel all live orders?"), t("%(n)s orders of this wallet will be canceled.", { n: count }), { action: t("Cancel all"), style: "btn-sell" }))) return;
  try {
    await post("/api/v1/orders/cancel-all", { client_id: state.client.id, wallet_id: state.wallet.id });
  } catch (problem) {
    complain(problem, t("The orders were not canceled"));
  }
}

async function amend(id) {
  const order = orders.get(id);
  const { base, quote } = instrument(order.symbol);
  const field = (name, text, value, unit) => h("div", { class: "mb-3" }, h("label", { class: "form-label", for: `amend-${name}` }, text),
    h("div", { class: "input-group" }, h("input", { class: "form-control end", type: "text", inputmode: "decimal", autocomplete: "off", id: `amend-${name}`, name, value: forInput(value) }),
      h("span", { class: "input-group-text" }, unit)));
  await formDialog(t("Amend %(what)s", { what: `${label(order.side)} ${order.symbol}` }),
    [field("qty", t("Quantity"), order.qty, base), field("price", t("Price"), order.price, quote)],
    (form) => {
      const change = {};
      const wanted = amounts([form.elements.qty, form.elements.price]);
      for (const name of ["qty", "price"]) if (wanted[name] !== order[name]) change[name] = wanted[name];
      return Object.keys(change).length ? patch(`/api/v1/orders/${id}`, change) : order;
    }, { action: t("Amend"), instrument: instrument(order.symbol) });
}

export function start() {
  live.on("order.*", take);
  watch("wallet", load);
  watch("resync", load);
  $("#cancel-all")?.addEventListener("click", cancelAll);
}

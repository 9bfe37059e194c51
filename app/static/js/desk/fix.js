// The history of one order and its FIX messages, beside the desk.

import { get } from "../api.js";
import { $, h } from "../dom.js";
import { t } from "../i18n.js";
import { label } from "../labels.js";
import { fixList, historyList } from "../order_history.js";
import { complain } from "../toast.js";
import { instrument } from "./state.js";

export async function showOrder(order) {
  const panel = $("#order-panel");
  $("#order-panel-title").textContent = `${label(order.side)} ${order.symbol} · ${label(order.type)}`;
  const body = $("#order-panel-body");
  body.replaceChildren(h("p", { class: "text-secondary" }, t("Loading…")));
  window.bootstrap.Offcanvas.getOrCreateInstance(panel).show();
  try {
    const [events, messages] = await Promise.all([
      get(`/api/v1/orders/${order.id}/events`), get(`/api/v1/orders/${order.id}/fix-messages`),
    ]);
    body.replaceChildren(
      h("h3", { class: "fs-6" }, t("History")), historyList(events.items, instrument(order.symbol).tick_size),
      h("h3", { class: "fs-6 mt-4" }, t("FIX messages")), fixList(messages.items),
      h("p", { class: "mt-3" }, h("a", { href: `/orders/${order.id}` }, t("Everything about this order"))));
  } catch (problem) {
    complain(problem, t("The order could not be loaded"));
  }
}

// Resting orders as lines on the chart; one that is dragged is amended once the person has confirmed it.

import { get, patch } from "../api.js";
import { confirm } from "../confirm.js";
import * as format from "../format.js";
import { t } from "../i18n.js";
import { isAmendable, isLive, label } from "../labels.js";
import * as live from "../live.js";
import { complain } from "../toast.js";
import { drawLines } from "./chart.js";
import { instrument, mayTrade, state, tell, watch } from "./state.js";

const orders = new Map();
let serial = 0;

async function load() {
  const mine = ++serial;
  orders.clear();
  if (state.wallet) {
    const answer = await get("/api/v1/orders", { wallet_id: state.wallet.id, open: true, limit: 200 }).catch(() => ({ items: [] }));
    if (mine !== serial) return;
    for (const order of answer.items) orders.set(order.id, order);
  }
  lines();
}

function take({ data: order }) {
  if (order.wallet_id !== state.wallet?.id) return;
  const known = orders.get(order.id);
  if (known && known.version > order.version) return;
  if (isLive(order)) orders.set(order.id, order);
  else orders.delete(order.id);
  lines();
}

function lines() {
  const shown = [...orders.values()].filter((order) => order.symbol === state.symbol && order.price);
  drawLines(shown.map((order) => ({
    order: order.id, price: order.price, tone: order.side === "BUY" ? "up" : "down", dashed: true,
    title: `${label(order.side)} ${format.number(order.leaves_qty ?? order.qty)}`,
    field: mayTrade && isAmendable(order) ? "price" : null,
  })), "orders");
}

async function dropped(line) {
  const order = orders.get(line.order);
  if (!order) return;
  const { tick_size: tick, quote: currency } = instrument(order.symbol);
  const text = t("%(side)s %(qty)s %(symbol)s: the limit moves from %(from)s to %(to)s.", {
    side: label(order.side), qty: format.number(order.qty), symbol: order.symbol,
    from: `${format.price(order.price, tick)} ${currency}`, to: `${format.price(line.moved, tick)} ${currency}`,
  });
  if (await confirm(t("Move the order?"), text, { action: t("Move") })) {
    try {
      await patch(`/api/v1/orders/${order.id}`, { price: line.moved }, order.version);
    } catch (problem) {
      complain(problem, t("The order was not changed"));
    }
  }
  tell("lines");
}

export function start() {
  live.on("order.*", take);
  for (const topic of ["wallet", "resync"]) watch(topic, load);
  for (const topic of ["symbol", "lines"]) watch(topic, lines);
  watch("drop", dropped);
}

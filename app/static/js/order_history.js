// An order's events as a timeline, and its FIX messages with the tags people ask about spelled out.

import { h } from "./dom.js";
import * as format from "./format.js";
import { t } from "./i18n.js";
import { eventLabel, label } from "./labels.js";

const TONES = { FILLED: "good", REJECTED: "bad", FAILED: "bad", CANCELED: "bad", EXPIRED: "bad" };
const MESSAGES = {
  D: t("New order"), 8: t("Execution report"), F: t("Cancel request"), G: t("Replace request"), 9: t("Cancel reject"),
  H: t("Status request"), 3: t("Reject"), j: t("Business reject"),
};
const TAGS = {
  8: "BeginString", 9: "BodyLength", 35: "MsgType", 49: "SenderCompID", 56: "TargetCompID", 34: "MsgSeqNum", 52: "SendingTime",
  11: "ClOrdID", 41: "OrigClOrdID", 37: "OrderID", 17: "ExecID", 150: "ExecType", 39: "OrdStatus", 55: "Symbol", 54: "Side",
  38: "OrderQty", 40: "OrdType", 44: "Price", 59: "TimeInForce", 60: "TransactTime", 32: "LastQty", 31: "LastPx", 14: "CumQty",
  151: "LeavesQty", 6: "AvgPx", 58: "Text", 10: "CheckSum", 1: "Account", 851: "LastLiquidityInd", 103: "OrdRejReason", 102: "CxlRejReason",
  434: "CxlRejResponseTo", 1003: "TradeID", 18: "ExecInst", 15: "Currency", 21: "HandlInst", 99: "StopPx", 126: "ExpireTime", 880: "TrdMatchID",
};

/** The steps an event tells of; those before its last have no figures of their own. */
function steps(event) {
  const order = event.data;
  const filled = order.cum_qty && order.cum_qty !== "0" ? t("%(done)s of %(qty)s", { done: format.number(order.cum_qty), qty: format.number(order.qty) }) : "";
  const price = order.avg_px ? t("at %(price)s", { price: format.number(order.avg_px, { max: 8 }) }) : "";
  const figures = [filled, price].filter(Boolean).join(" ");
  const told = event.transitions ?? [{ status: order.status, reason: event.reason }];
  return told.map((step, index) => {
    const last = index === told.length - 1;
    return h("li", { class: TONES[step.status] ?? null, "data-status": step.status },
      h("div", { class: "fw-semibold" }, event.type === "order.amended" ? eventLabel(event.type) : label(step.status)),
      h("div", { class: "when" }, format.dateTime(event.at), last && event.version ? ` · v${event.version}` : ""),
      last && figures ? h("div", { class: "small num" }, figures) : null,
      step.reason && step.status === "REJECTED" ? h("div", { class: "small down" }, step.reason) : null);
  });
}

export function historyList(events) {
  if (!events.length) return h("p", { class: "text-secondary" }, t("Nothing yet"));
  return h("ol", { class: "timeline" }, events.flatMap(steps));
}

export function fixList(messages) {
  if (!messages.length) return h("p", { class: "text-secondary" }, t("No message has been exchanged yet."));
  return h("div", { class: "stack" }, messages.map((message) => {
    const fields = message.message.split("|").filter(Boolean).map((part) => part.split(/=(.*)/s));
    const out = message.direction === "out";
    return h("details", { class: "panel", "data-fix-message": message.msg_type },
      h("summary", { class: "p-2" }, h("span", { class: `tag ${out ? "tag-info" : "tag-good"}` }, out ? t("to the venue") : t("from the venue")), " ",
        h("strong", {}, MESSAGES[message.msg_type] ?? message.msg_type), " ", h("span", { class: "small-caps" }, format.time(message.at)),
        h("div", { class: "code text-secondary mt-1" }, message.message)),
      h("div", { class: "table-wrap" }, h("table", { class: "list" }, h("tbody", {}, fields.map(([number, value]) =>
        h("tr", {}, h("td", { class: "end text-secondary" }, number), h("td", {}, TAGS[number] ?? ""), h("td", { class: "code wrap" }, value)))))));
  }));
}

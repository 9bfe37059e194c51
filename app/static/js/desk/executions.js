// What was executed in the wallet, newest first.

import { get } from "../api.js";
import { $, empty, h, labelled } from "../dom.js";
import * as format from "../format.js";
import { t } from "../i18n.js";
import { label, side } from "../labels.js";
import * as live from "../live.js";
import { complain } from "../toast.js";
import { instrument, state, watch } from "./state.js";

const MOST = 60;
let executions = [];
let serial = 0;

async function load() {
  const mine = ++serial;
  executions = [];
  if (state.wallet) {
    try {
      const answer = await get("/api/v1/executions", { wallet_id: state.wallet.id, limit: MOST });
      if (mine !== serial) return;
      executions = answer.items;
    } catch (problem) {
      complain(problem, t("The executions could not be loaded"));
    }
  }
  draw();
}

function take({ data: execution }) {
  if (execution.wallet_id !== state.wallet?.id || executions.some((known) => known.id === execution.id)) return;
  executions = [execution, ...executions].slice(0, MOST);
  draw();
}

function tableRow(execution) {
  const { fee_currency: currency } = execution;
  const quote = instrument(execution.symbol).quote;
  return h("tr", { "data-id": execution.id },
    h("td", { class: "num" }, format.when(execution.executed_at)), h("td", {}, execution.symbol), h("td", {}, side(execution.side)),
    h("td", { class: "end" }, format.number(execution.qty)),
    h("td", { class: "end" }, format.price(execution.price, instrument(execution.symbol).tick_size)),
    h("td", { class: "end" }, format.balance(execution.value, quote)),
    h("td", { class: "end" }, format.money(execution.fee, currency, { max: 4 })),
    h("td", { class: `end ${format.tone(execution.realized_pnl)}` }, execution.side === "SELL" ? format.profit(execution.realized_pnl, quote) : "–"),
    h("td", {}, label(execution.liquidity)),
    h("td", {}, h("a", { href: `/orders/${execution.order_id}` }, t("Order"))));
}

function draw() {
  $("#executions-body").replaceChildren(...labelled("#executions-body", executions.map(tableRow)));
  $("#executions-empty").replaceChildren(...(executions.length ? [] : [empty(t("No executions yet"), t("Every fill is listed here with its fee."), "check2-circle")]));
}

export function start() {
  live.on("execution.created", take);
  watch("wallet", load);
  watch("resync", load);
}

// One wallet: balances, movements, limits, pausing.

import { drawAllocation } from "../allocation.js";
import { get, patch, post } from "../api.js";
import { movementColumns, times100 } from "../columns.js";
import { confirm, formDialog } from "../confirm.js";
import { round, sum } from "../decimal.js";
import { $, empty, h, setText } from "../dom.js";
import * as format from "../format.js";
import { t } from "../i18n.js";
import { tag } from "../labels.js";
import * as live from "../live.js";
import { amount, forInput } from "../numbers.js";
import { Table } from "../table.js";
import { complain, toast } from "../toast.js";

const root = $("#wallet");
let wallet = JSON.parse(root.dataset.wallet);
const path = `/api/v1/wallets/${wallet.id}`;

const LIMITS = [
  ["max_position_usd", t("Most per position"), "USD"], ["max_exposure_usd", t("Most exposure"), "USD"], ["max_open_positions", t("Most open positions"), ""],
  ["daily_loss_usd", t("Loss per day, amount"), "USD"], ["daily_loss_percent", t("Loss per day, percent"), "%"], ["max_drawdown_percent", t("Drawdown from the peak"), "%"],
  ["default_stop_loss_percent", t("Default stop loss"), "%"], ["default_take_profit_percent", t("Default take profit"), "%"],
];
const limit = (name) => (name in wallet.limits ? wallet.limits[name] : wallet[name]);

function showWallet() {
  const byFirm = wallet.stopped_by === "firm";
  $("#status").replaceChildren(tag(wallet.status), byFirm ? h("span", { class: "note ms-2" }, t("by the firm")) : "");
  setText($("#rates"), `${format.percent(times100(wallet.maker_rate), false)} / ${format.percent(times100(wallet.taker_rate), false)}`);
  const pause = $("#pause");
  if (pause) { pause.hidden = wallet.status !== "active"; $("#resume").hidden = wallet.status === "active" || (byFirm && !$("#edit-limits")); }
  const shown = (name, unit) => {
    const value = limit(name);
    if (value === null || value === undefined) return h("span", { class: "text-secondary" }, t("none"));
    return unit === "USD" ? format.usd(value) : `${format.number(String(value))} ${unit}`;
  };
  const symbols = (list, otherwise) => (list?.length ? list.join(", ") : otherwise);
  $("#limits").replaceChildren(
    ...LIMITS.map(([name, text, unit]) => h("div", {}, h("dt", {}, text), h("dd", {}, shown(name, unit)))),
    h("div", {}, h("dt", {}, t("Allowed instruments")), h("dd", {}, symbols(wallet.limits.allowed_symbols, t("all")))),
    h("div", {}, h("dt", {}, t("Blocked instruments")), h("dd", {}, symbols(wallet.limits.blocked_symbols, t("none")))),
    h("div", {}, h("dt", {}, t("Market hours")), h("dd", {}, wallet.limits.respect_market_hours ? t("respected") : t("not respected"))));
}

/** Available, held and their sum, as shown: the sum is of what stands before it. */
function shownParts(item) {
  const decimals = format.isCash(item.asset) ? 2 : 8;
  const parts = [item.available, item.held].map((text) => round(text, decimals));
  return [...parts, sum(parts)];
}

async function showBalances() {
  const answer = await get(`${path}/balances`);
  setText($("#total"), format.usd(answer.total_usd));
  setText($("#unpriced"), answer.unpriced.length ? t("without %(assets)s: no price", { assets: answer.unpriced.join(", ") }) : t("at current prices"));
  drawAllocation($("#allocation"), answer.balances);
  const head = [[t("Asset")], [t("Available"), "end"], [t("Held"), "end"], [t("Total"), "end"], [t("Value"), "end"]];
  $("#balances").replaceChildren(answer.balances.length ? h("div", { class: "table-wrap", tabindex: "0", role: "region", "aria-label": t("Balances") }, h("table", { class: "list cards-on-phone" },
    h("thead", {}, h("tr", {}, head.map(([text, end]) => h("th", { scope: "col", class: end }, text)))),
    h("tbody", {}, answer.balances.map((item) => h("tr", { "data-asset": item.asset }, h("td", { class: "fw-semibold", "data-label": t("Asset") }, item.asset),
      shownParts(item).map((text, at) => h("td", { class: "end", "data-label": head[at + 1][0] }, format.isCash(item.asset) ? format.number(text, { min: 2 }) : format.number(text))),
      h("td", { class: "end", "data-label": t("Value") }, item.value_usd === null ? t("no price") : format.usd(item.value_usd)))))))
    : empty(t("Nothing held"), t("Balances appear when the wallet is funded."), "wallet2"));
}

async function setStatus(action, title, text) {
  if (!(await confirm(title, text, { action: title }))) return;
  try {
    wallet = await post(`${path}/${action}`);
    showWallet();
    toast(action === "pause" ? t("The wallet is paused") : t("The wallet takes orders again"), { tone: "good" });
  } catch (problem) {
    complain(problem);
  }
}

async function editLimits() {
  const field = ([name, text, unit]) => h("div", {}, h("label", { class: "form-label", for: `l-${name}` }, unit ? `${text} (${unit})` : text),
    h("input", { class: "form-control end", type: "text", inputmode: "decimal", autocomplete: "off", id: `l-${name}`, name, value: forInput(limit(name)) }));
  const many = (name, text) => h("div", {}, h("label", { class: "form-label", for: `l-${name}` }, text),
    h("input", { class: "form-control", id: `l-${name}`, name, value: (wallet.limits[name] ?? []).join(", "), placeholder: "BTC/USDT, ETH/USDT" }));
  const fields = [
    h("p", { class: "text-secondary small" }, t("Empty means no limit. The stricter of these and the client's limits rules.")),
    h("div", { class: "mb-3" }, h("label", { class: "form-label", for: "l-name" }, t("Name")), h("input", { class: "form-control", id: "l-name", name: "name", value: wallet.name, maxlength: 100 })),
    h("div", { class: "row row-cols-1 row-cols-sm-2 g-3" }, [...LIMITS.map(field), many("allowed_symbols", t("Allowed instruments")), many("blocked_symbols", t("Blocked instruments"))].map((node) => { node.classList.add("col"); return node; })),
    h("div", { class: "form-check mt-3" }, h("input", { class: "form-check-input", type: "checkbox", id: "l-hours", name: "respect_market_hours", checked: wallet.limits.respect_market_hours }),
      h("label", { class: "form-check-label", for: "l-hours" }, t("Respect market hours"))),
  ];
  const saved = await formDialog(t("Limits of %(wallet)s", { wallet: wallet.name }), fields, (form) => {
    const body = { name: form.elements.name.value.trim(), respect_market_hours: form.elements.respect_market_hours.checked };
    for (const [name] of LIMITS) {
      const whole = name === "max_open_positions";
      const value = amount(form.elements[name], { whole });
      body[name] = value ? (whole && /^\d+$/.test(value) ? Number.parseInt(value, 10) : value) : null;
    }
    for (const name of ["allowed_symbols", "blocked_symbols"]) {
      const list = form.elements[name].value.split(",").map((symbol) => symbol.trim()).filter(Boolean);
      body[name] = list.length ? list : null;
    }
    return patch(path, body, wallet.version);
  }, { size: "modal-lg" });
  if (saved) { wallet = saved; showWallet(); toast(t("Limits saved"), { tone: "good" }); }
}

showWallet();
const movements = new Table($("#movements"), { path: `${path}/movements`, columns: movementColumns(), url: false, name: "movements", none: [t("No movements yet"), t("Deposits, holds and trades are listed here.")] });
live.on("wallet.balance", ({ data }) => { if (data.wallet_id === wallet.id) { showBalances().catch(() => {}); movements.refresh(); } });
for (const type of ["wallet.paused", "wallet.active", "wallet.suspended"]) live.on(type, ({ data }) => { if (data.id === wallet.id) { wallet = { ...wallet, ...data }; showWallet(); } });
live.on("reset", () => location.reload());
live.start();
$("#pause")?.addEventListener("click", () => setStatus("pause", t("Pause the wallet"), t("New orders are refused; exits of positions stay armed.")));
$("#resume")?.addEventListener("click", () => setStatus("resume", t("Resume the wallet"), t("Orders are accepted again.")));
$("#edit-limits")?.addEventListener("click", editLimits);
setInterval(() => showBalances().catch(() => {}), 15_000);
root.dataset.ready = "true";
await showBalances().catch(complain);

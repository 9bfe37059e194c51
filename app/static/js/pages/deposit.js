// One deposit: how it stands, live, and what may be done about it.

import { get, post } from "../api.js";
import { confirm, formDialog } from "../confirm.js";
import { $, h } from "../dom.js";
import * as format from "../format.js";
import { t } from "../i18n.js";
import { label, tag } from "../labels.js";
import * as live from "../live.js";
import { amount } from "../numbers.js";
import { complain } from "../toast.js";

const ASK_MS = 6000;
const root = $("#deposit");
const own = root.dataset.own === "true";
let deposit = JSON.parse(root.dataset.deposit);
const path = `/api/v1/deposits/${deposit.id}`;

const money = (value) => format.money(value, deposit.currency);
const fact = (name, value) => h("div", {}, h("dt", {}, name), h("dd", { class: "long-text" }, value));

/** What the reader should know or do now. */
function note() {
  const { status, method } = deposit;
  if (status === "completed") return deposit.dispute_status === "open" ? t("The payer contests the payment at the bank.") : t("The money is in the wallet.");
  if (status === "failed" || status === "canceled") return t("Nothing was credited. Money that arrives nevertheless is credited.");
  if (method === "card") return status === "processing" ? t("The bank is on it; this can take some days.") : deposit.payment_url ? t("Pay on the page of the payment provider; it opens by the button above.") : t("The payment page is being prepared.");
  return status === "processing" ? t("The transfer has arrived; a second person confirms it.") : t("We credit the transfer as soon as it has arrived and was matched.");
}

function draw() {
  $("#status").replaceChildren(tag(deposit.status));
  $("#note").textContent = note();
  $("#facts").replaceChildren(...[
    fact(t("Amount"), money(deposit.amount)), fact(t("Method"), label(deposit.method)),
    deposit.reason && fact(t("Reason"), deposit.reason),
    deposit.bank_reference && fact(t("Reference of the transfer"), deposit.bank_reference),
    deposit.movement && fact(t("Bank movement"), `${deposit.movement.account} · ${deposit.movement.reference} · ${deposit.movement.received_on}`),
    deposit.method === "card" && deposit.provider_reference && fact(t("Payment page"), deposit.provider_reference),
    deposit.confirmed_amount && fact(t("Credited"), `${money(deposit.confirmed_amount)} · ${format.dateTime(deposit.completed_at)}`),
    deposit.refunded_amount !== "0" && fact(t("Refunded"), money(deposit.refunded_amount)),
    deposit.dispute_status && fact(t("Dispute"), [tag({ open: "payment_disputed", won: "deposit.dispute_won", lost: "deposit.dispute_lost" }[deposit.dispute_status], "info"), deposit.disputed_amount !== "0" ? ` ${money(deposit.disputed_amount)}` : ""]),
    deposit.expires_at && deposit.payment_url && fact(t("Page closes"), format.dateTime(deposit.expires_at)),
  ].filter(Boolean));
  const open = ["pending", "processing"].includes(deposit.status);
  const transfer = deposit.method === "bank_transfer";
  show("#pay", deposit.status === "pending" && deposit.payment_url);
  if (deposit.payment_url) $("#pay")?.setAttribute("href", deposit.payment_url);
  show("#cancel-deposit", deposit.status === "pending");
  show("#pretend", open && !(transfer && deposit.status === "processing"));
  show("#match", transfer && deposit.status === "pending");
  show("#reject", transfer && open);
  show("#receipt", deposit.status === "completed");
}

function show(selector, visible) {
  const node = $(selector);
  if (node) node.hidden = !visible;
}

function take(newer) {
  if (!newer || newer.version < deposit.version) return;
  deposit = newer;
  draw();
}

async function act(work) {
  try {
    take(await work());
  } catch (problem) {
    complain(problem);
  }
}

$("#cancel-deposit")?.addEventListener("click", async () => {
  const sure = await confirm(t("Cancel this deposit?"), t("Its payment page closes. What you have paid already is credited."), { action: t("Cancel deposit") });
  if (sure) act(() => post(`${path}/cancel`));
});
$("#pretend")?.addEventListener("click", () => act(() => post(`/api/v1/deposits/simulate-payment-success/${deposit.id}`)));

const input = (name, text, value = "", type = "text") => h("div", { class: "mb-3" }, h("label", { class: "form-label", for: `match-${name}` }, text),
  h("input", { class: "form-control", type, id: `match-${name}`, name, value, autocomplete: "off" }));
$("#match")?.addEventListener("click", async () => {
  const fields = [
    h("p", { class: "text-secondary" }, t("Declared: %(amount)s, reference %(reference)s. A second person confirms before it is credited.", { amount: money(deposit.amount), reference: deposit.bank_reference })),
    input("account", t("Account it came in on")), input("reference", t("The bank's reference of the movement")),
    input("amount", t("Amount that came in")), input("received_on", t("Day it came in"), "", "date"),
  ];
  take(await formDialog(t("Match to a bank movement"), fields, (form) => post(`${path}/match`, {
    account: form.elements.account.value.trim(), reference: form.elements.reference.value.trim(),
    amount: amount(form.elements.amount), received_on: form.elements.received_on.value,
  }), { action: t("Propose to credit it") }));
});
$("#reject")?.addEventListener("click", async () => {
  const fields = [h("p", { class: "text-secondary" }, t("The client reads the reason.")), input("reason", t("Reason"))];
  take(await formDialog(t("Give up this deposit?"), fields, (form) => post(`${path}/reject`, { reason: form.elements.reason.value.trim() }), { action: t("Give up"), style: "btn-sell" }));
});

live.on("deposit.*", ({ data }) => { if (data.id === deposit.id) take(data); });
live.on("reset", async () => take(await get(path)));

/** Back from the provider's page: its report may be late or lost, so it is asked for. */
async function follow() {
  if (deposit.status !== "pending" && deposit.status !== "processing") return;
  try {
    const session = await get(`/api/v1/stripe/session/${deposit.provider_reference}`);
    if (session.status !== deposit.status) take(await get(path));
  } catch { /* the next one, or the live event */ }
  setTimeout(follow, ASK_MS);
}

draw();
if (own && deposit.method === "card" && deposit.provider_reference && new URLSearchParams(location.search).has("paid")) follow();
root.dataset.ready = "true";

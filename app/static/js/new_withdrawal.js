// Asking for a withdrawal: what it comes to is shown before it is sent, or what is missing.

import { get, newOrderId, post } from "./api.js";
import { accountName, accountsPath } from "./bank_accounts.js";
import { formDialog } from "./confirm.js";
import { h } from "./dom.js";
import { failureText, fieldText } from "./failures.js";
import * as format from "./format.js";
import { t } from "./i18n.js";
import { amount } from "./numbers.js";

const PAUSE_MS = 300; // of typing, before the preview is asked for

/** ``clients`` are [{id, code, name}]: those it may be for. Resolves to the withdrawal, or null. */
export async function newWithdrawal(clients, { staff }) {
  const key = newOrderId(); // one per dialog: sent again after a lost answer it is done once
  const shown = h("div", { id: "preview", class: "panel p-3", "aria-live": "polite" });
  const field = (name, text, more = {}, unit = null) => h("div", { class: "mb-3" }, h("label", { class: "form-label", for: `withdrawal-${name}` }, text),
    h("div", { class: "input-group" }, h("input", { class: "form-control", type: "text", id: `withdrawal-${name}`, name, autocomplete: "off", ...more }), unit));
  const unit = h("span", { class: "input-group-text" });
  const account = h("select", { class: "form-select", id: "withdrawal-account", name: "bank_account_id" });
  const client = h("select", { class: "form-select", id: "withdrawal-client", name: "client_id" }, clients.map((item) => h("option", { value: item.id }, `${item.code} · ${item.name}`)));
  const fields = [
    staff ? h("div", { class: "mb-3" }, h("label", { class: "form-label", for: "withdrawal-client" }, t("Client")), client) : null,
    h("div", { class: "mb-3" }, h("label", { class: "form-label", for: "withdrawal-account" }, t("To")), account),
    field("amount", t("Amount"), { inputmode: "decimal" }, unit),
    field("concept", t("Concept, as the bank shows it"), { maxlength: 140 }),
    field("email", t("Confirmation to, where not to the client's own address"), { type: "email", maxlength: 254 }),
    shown,
  ];
  const chosen = () => account.selectedOptions[0];
  let timer = 0;
  let asked = 0;

  function body(form) {
    const given = { bank_account_id: account.value, currency: chosen()?.dataset.currency, amount: amount(form.elements.amount) };
    if (staff) given.client_id = client.value;
    for (const name of ["concept", "email"]) if (form.elements[name].value.trim()) given[name] = form.elements[name].value.trim();
    return given;
  }

  async function preview() {
    const mine = ++asked;
    const form = shown.closest("form");
    if (!account.value || !form.elements.amount.value.trim()) { shown.replaceChildren(h("span", { class: "text-secondary" }, account.value ? t("Enter an amount to see what arrives.") : t("Add a bank account first."))); return; }
    let answer;
    try {
      answer = draw(await post("/api/v1/withdrawals/preview", body(form)));
    } catch (problem) {
      const sentences = (problem.errors ?? []).map((error) => fieldText(error));
      answer = [h("span", { class: "down" }, sentences.length ? sentences.join(" ") : problem.message)];
    }
    if (mine === asked) shown.replaceChildren(...answer);
  }

  const later = () => { clearTimeout(timer); timer = setTimeout(preview, PAUSE_MS); };

  async function loadAccounts() {
    const owner = staff ? client.value : document.body.dataset.client;
    const { items } = await get(accountsPath(owner));
    account.replaceChildren(...items.filter((item) => item.status === "active").map((item) => h("option", { value: item.id, "data-currency": item.currency, selected: item.is_default && item.currency === "USD" }, accountName(item))));
    unit.textContent = chosen()?.dataset.currency ?? "";
    if (shown.isConnected) await preview();
  }

  account.addEventListener("change", () => { unit.textContent = chosen()?.dataset.currency ?? ""; later(); });
  client.addEventListener("change", loadAccounts);
  for (const item of fields) item?.addEventListener("input", (event) => { if (event.target.name === "amount") later(); });
  await loadAccounts();
  const dialog = formDialog(t("New withdrawal"), fields, (form) => post("/api/v1/withdrawals", body(form), { "Idempotency-Key": key }), { action: t("Withdraw") });
  await preview();
  return dialog;
}

function draw(answer) {
  const money = (text) => format.money(text, answer.currency);
  const line = (name, value, strong = false) => h("div", { class: "d-flex justify-content-between gap-3" }, h("span", { class: strong ? "fw-semibold" : "text-secondary" }, name), h("span", { class: `num ${strong ? "fw-semibold" : ""}` }, value));
  const lines = [
    line(t("Leaves the wallet"), money(answer.amount)), line(t("Fee"), money(answer.fee)), line(t("Tax"), money(answer.tax)),
    line(t("Arrives"), money(answer.arrives), true), line(t("Expected on"), format.day(answer.arrives_on)),
    line(t("May be withdrawn"), money(answer.withdrawable)),
  ];
  if (!answer.allowed) return [...lines, h("ul", { class: "down mb-0 mt-2 ps-3" }, answer.missing.map((item) => h("li", {}, failureText(item).filter(Boolean).join(" · "))))];
  const people = answer.approvals_required;
  return [...lines, h("div", { class: "small text-secondary mt-2" }, people === 0 ? t("No approval is needed.") : people === 1 ? t("One person of the firm must agree.") : t("%(n)s people of the firm must agree.", { n: people }))];
}

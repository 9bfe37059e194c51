// Where a client is paid: the list, a new one, the first choice of a currency, one that is taken out of use.

import { get, post, remove } from "./api.js";
import { confirm, formDialog } from "./confirm.js";
import { h } from "./dom.js";
import * as format from "./format.js";
import { now } from "./clock.js";
import { t } from "./i18n.js";
import { label, tag } from "./labels.js";
import * as live from "./live.js";
import { MiniTable } from "./mini_table.js";
import { complain, toast } from "./toast.js";

const SHOWN = 4; // characters of a number that tell it from others
const HINTS = { cci: t("20 digits"), clabe: t("18 digits"), iban: t("begins with two letters of the country") };

export const accountsPath = (client) => `/api/v1/clients/${encodeURIComponent(client)}/bank-accounts`;

/** "BCP •4221 USD", short enough for a choice. */
export const accountName = (account) => `${account.bank_name} •${account.number.slice(-SHOWN)} ${account.currency}`;

export const isWaiting = (account) => account.usable_from !== null && Date.parse(account.usable_from) > now();

/** Whether it is paid to, and from when on. */
function state(account) {
  if (account.status !== "active") return tag(account.status === "pending" ? "pending_review" : account.status);
  if (isWaiting(account)) return h("span", {}, tag("waiting", "warn"), " ", h("span", { class: "small text-secondary" }, t("from %(when)s on", { when: format.dateTime(account.usable_from) })));
  return tag("active");
}

/** Draw the accounts of ``client``; ``write`` says whether the reader may change them. Resolves to them. */
export async function bankAccounts(node, { client, write }) {
  const path = accountsPath(client);
  const list = h("div", { "data-label": t("Bank accounts") });
  const table = new MiniTable(list, {
    most: 200, sort: (a, b) => (a.currency === b.currency ? Number(b.is_default) - Number(a.is_default) : a.currency < b.currency ? -1 : 1),
    none: [t("No bank accounts yet"), t("Money is paid out to an account that the firm has confirmed."), "wallet2"],
    columns: [
      { label: t("Bank"), cell: (row) => h("span", { class: "long-text" }, row.bank_name) },
      { label: t("Account"), wide: true, cell: (row) => h("span", {}, h("span", { class: "small text-secondary" }, row.scheme.toUpperCase(), " "), h("span", { class: "num code" }, row.number)) },
      { label: t("Holder"), cell: (row) => h("span", { class: "long-text" }, row.holder) },
      { label: t("Currency"), cell: (row) => row.currency },
      { label: t("Type"), cell: (row) => label(row.account_type) },
      { label: t("Status"), cell: (row) => h("span", {}, state(row), row.is_default ? [" ", tag(t("First choice"), "info")] : null) },
      ...(write ? [{ label: "", cell: buttons }] : []),
    ],
  });

  async function load() {
    const { items } = await get(path);
    table.set(items);
    return items;
  }

  async function tried(work, done) {
    try {
      await work();
      toast(done, { tone: "good" });
    } catch (problem) {
      complain(problem);
    }
    await load();
  }

  function buttons(row) {
    const named = (word) => `${word}: ${accountName(row)}`;
    const button = (word, onclick) => h("button", { type: "button", class: "btn btn-sm btn-quiet", "aria-label": named(word), onclick }, word);
    return h("div", { class: "row-actions" },
      row.status === "active" && !row.is_default ? button(t("Make first choice"), () => tried(() => post(`/api/v1/bank-accounts/${row.id}/make-default`), t("Saved"))) : null,
      button(t("Remove"), async () => {
        if (await confirm(t("Remove the account?"), t("%(account)s: nothing is paid to it any more.", { account: accountName(row) }), { action: t("Remove") })) {
          await tried(() => remove(`/api/v1/bank-accounts/${row.id}`), t("Account removed"));
        }
      }));
  }

  live.on("client.*", (event) => { if (list.isConnected && event.object_type === "bank_account" && event.stream === client) load().catch(() => {}); });
  node.replaceChildren(...(write ? [h("div", { class: "p-3 pb-0 text-end" }, h("button", { type: "button", class: "btn btn-primary btn-sm", id: "new-account", onclick: () => newAccount(client).then((made) => made && load()) }, t("New account")))] : []), list);
  return load();
}

/** Ask for an account of ``client``; resolves to it, or null. */
export async function newAccount(client) {
  const field = (name, text, more = {}, after = null) => h("div", { class: "mb-3" }, h("label", { class: "form-label", for: `account-${name}` }, text),
    h("input", { class: "form-control", type: "text", id: `account-${name}`, name, autocomplete: "off", ...more }), after);
  const choice = (name, text, options, more = {}) => h("div", { class: "mb-3" }, h("label", { class: "form-label", for: `account-${name}` }, text),
    h("select", { class: "form-select", id: `account-${name}`, name, ...more }, options.map(([value, shown]) => h("option", { value }, shown))));
  const hint = h("div", { class: "form-text", id: "account-hint" }, HINTS.cci);
  const fields = [
    choice("scheme", t("Kind of number"), [["cci", t("CCI (Peru)")], ["clabe", t("CLABE (Mexico)")], ["iban", "IBAN"]], { onchange: (event) => { hint.textContent = HINTS[event.target.value]; } }),
    field("number", t("Number"), { "aria-describedby": "account-hint", maxlength: 50 }, hint),
    field("bank_name", t("Bank"), { maxlength: 100 }),
    choice("account_type", t("Type"), [["savings", t("Savings")], ["checking", t("Checking")]]),
    choice("currency", t("Currency"), ["PEN", "USD", "EUR", "GBP", "JPY"].map((code) => [code, code])),
    field("holder", t("Holder, where it is not the client"), { maxlength: 200 }),
    h("p", { class: "form-text mb-0" }, t("A second person of the firm confirms it, and the client is told by mail. Nothing is paid to a new account during its first hours.")),
  ];
  const made = await formDialog(t("New account"), fields, (form) => {
    const value = (name) => form.elements[name].value.trim();
    const body = Object.fromEntries(["scheme", "number", "bank_name", "account_type", "currency"].map((name) => [name, value(name)]));
    if (value("holder")) body.holder = value("holder");
    return post(accountsPath(client), body);
  }, { action: t("Add") });
  if (made) toast(t("Account added; it waits to be confirmed"), { tone: "good" });
  return made;
}

// Withdrawals: what may be withdrawn, the accounts it goes to, and the list.

import { bankAccounts } from "../bank_accounts.js";
import { clientNames } from "../columns.js";
import { $, h } from "../dom.js";
import * as format from "../format.js";
import { t } from "../i18n.js";
import { tag } from "../labels.js";
import * as live from "../live.js";
import { newWithdrawal } from "../new_withdrawal.js";
import { Table } from "../table.js";
import { complain, toast } from "../toast.js";
import { withdrawableCards } from "../withdrawable.js";

const root = $("#withdrawals");
const staff = root.dataset.staff === "true";
const clients = JSON.parse(root.dataset.clients);
const client = staff ? clientNames(root) : null;

const destination = (row) => `${row.destination.bank_name} •${row.destination.number.slice(-4)}`;
const table = new Table($("#list"), {
  path: "/api/v1/withdrawals", filters: $("#filters"), name: "withdrawals",
  none: [t("No withdrawals yet"), t("They appear here as soon as one is asked for.")],
  columns: [
    { label: t("Time"), cell: (row) => h("a", { href: `/withdrawals/${row.id}` }, format.when(row.created_at)), csv: (row) => row.created_at },
    client && { label: t("Client"), cell: (row) => client(row.client_id), csv: (row) => client(row.client_id) },
    { label: t("Amount"), end: true, cell: (row) => format.money(row.amount, row.currency), csv: (row) => `${row.amount} ${row.currency}` },
    { label: t("Arrives"), end: true, cell: (row) => format.money(row.arrives, row.currency), csv: (row) => `${row.arrives} ${row.currency}` },
    { label: t("To"), wide: true, cell: (row) => h("span", { class: "long-text" }, `${destination(row)} · ${row.destination.holder}`), csv: (row) => `${destination(row)} ${row.destination.holder}` },
    { label: t("Status"), cell: (row) => tag(row.status), csv: (row) => row.status },
    { label: t("Bank reference"), cell: (row) => row.bank_reference ?? "–", csv: (row) => row.bank_reference },
  ].filter(Boolean),
});

const showAccounts = (id) => bankAccounts($("#accounts"), { client: id, write: root.dataset.accounts === "true" });

/** For the firm's people: the accounts of the client they have chosen. */
async function chosenAccounts() {
  const chosen = clients.find((item) => item.code === $("#f-client").value);
  $("#accounts").closest("section").hidden = !chosen;
  if (chosen) await showAccounts(chosen.id);
}

if (staff) {
  $("#filters").addEventListener("change", (event) => { if (event.target.id === "f-client") chosenAccounts().catch(complain); });
  $("[data-clear]").addEventListener("click", () => chosenAccounts().catch(complain));
  await chosenAccounts();
} else {
  await Promise.all([withdrawableCards($("#balances")), showAccounts(document.body.dataset.client)]);
}
live.on("withdrawal.*", ({ data }) => { if (!table.update(data) && table.page === 1) table.refresh(); });
live.on("reset", () => location.reload());
live.start();

$("#new-withdrawal")?.addEventListener("click", async () => {
  const made = await newWithdrawal(staff ? clients : [], { staff });
  if (!made) return;
  toast(t("Withdrawal asked for"), { tone: "good", detail: t("The money is set aside until it is paid.") });
  location.assign(`/withdrawals/${made.id}`);
});
root.dataset.ready = "true";

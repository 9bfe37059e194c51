// Deposits: the list, live, and declaring one.

import { clientNames } from "../columns.js";
import { declareDeposit } from "../deposit_form.js";
import { $, h } from "../dom.js";
import * as format from "../format.js";
import { t } from "../i18n.js";
import { label, tag } from "../labels.js";
import * as live from "../live.js";
import { Table } from "../table.js";

const root = $("#list");
const staff = root.dataset.staff === "true";
const client = staff ? clientNames(root) : null;

const table = new Table(root, {
  path: "/api/v1/deposits", name: "deposits", filters: $("#filters"),
  none: [t("No deposits yet"), staff ? t("They appear here as soon as a client declares one.") : t("Declare one, and pay it by card or by bank transfer.")],
  columns: [
    { label: t("Time"), cell: (row) => h("a", { href: `/deposits/${row.id}` }, h("time", { datetime: row.created_at }, format.when(row.created_at))), csv: (row) => row.created_at },
    client && { label: t("Client"), cell: (row) => client(row.client_id), csv: (row) => client(row.client_id) },
    { label: t("Amount"), end: true, cell: (row) => format.money(row.amount, row.currency), csv: (row) => row.amount },
    { label: t("Currency"), key: "currency" },
    { label: t("Method"), cell: (row) => label(row.method), csv: (row) => row.method },
    { label: t("Status"), cell: (row) => h("span", { class: "d-inline-flex gap-1" }, tag(row.status), row.dispute_status === "open" && tag("payment_disputed", "bad"), row.refunded_amount !== "0" && tag("refund", "info")), csv: (row) => row.status },
    { label: t("Reference"), wrap: true, cell: (row) => row.movement?.reference ?? row.bank_reference ?? "–", csv: (row) => row.movement?.reference ?? row.bank_reference },
    { label: t("Credited"), cell: (row) => format.when(row.completed_at), csv: (row) => row.completed_at },
  ].filter((column) => column && column.label !== t("Currency")),
});
live.on("deposit.*", ({ data }) => { if (!table.update(data) && table.page === 1) table.refresh(); });
live.on("reset", () => table.load());

const button = $("#new-deposit");
button?.addEventListener("click", async () => {
  const made = await declareDeposit({ methods: JSON.parse(button.dataset.methods), currencies: JSON.parse(button.dataset.currencies), client: button.dataset.client });
  if (made) location.assign(made.payment_url ?? `/deposits/${made.id}`);
});
root.dataset.ready = "true";

// One withdrawal: what it is, where it stands, and what its reader may do about it.

import { get, post } from "../api.js";
import { confirm, formDialog } from "../confirm.js";
import { $, empty, h } from "../dom.js";
import * as format from "../format.js";
import { t } from "../i18n.js";
import { accountName, eventLabel, label, tag } from "../labels.js";
import * as live from "../live.js";
import { MiniTable } from "../mini_table.js";
import { clientLink, who } from "../people.js";
import { complain, toast } from "../toast.js";

const root = $("#withdrawal");
const staff = root.dataset.staff === "true";
const client = JSON.parse(root.dataset.client);
let withdrawal = JSON.parse(root.dataset.withdrawal);
const path = `/api/v1/withdrawals/${withdrawal.id}`;
const money = (text) => format.money(text, withdrawal.currency);

const NEXT = {
  pending_review: t("The firm looks at it; the money is set aside."), approved: t("An operator will pay it."), processing: t("It is being paid."),
  completed: t("The bank has paid it."), rejected: t("The money is available again."), canceled: t("The money is available again."), failed: t("The money is available again."),
};
const TONES = { completed: "good", rejected: "bad", canceled: "bad", failed: "bad" };
const OFFERED = { start: ["approved"], reject: ["approved"], complete: ["processing"], fail: ["processing"], cancel: ["pending_review", "approved"], "to-approvals": ["pending_review"], receipt: ["completed"] };

const entries = new MiniTable($("#entries"), {
  most: 20, sort: (a, b) => a.number - b.number, none: [t("No entries yet"), "", "journal-text"],
  columns: [
    { label: t("Number"), cell: (row) => h("a", { href: `/journal/${row.id}` }, `#${row.number}`) },
    { label: t("Time"), cell: (row) => format.when(row.at) },
    { label: t("Kind"), cell: (row) => tag(row.kind) },
    { label: t("Postings"), wide: true, cell: (row) => h("div", { class: "small" }, row.postings.map((line) => h("div", { class: "d-flex gap-3 justify-content-between" },
      h("span", {}, line.code, " ", accountName(line.name)), h("span", { class: `num ${format.tone(line.amount)}` }, format.money(line.amount, line.currency, { plus: true }))))) },
  ],
});

const facts = (rows) => rows.filter(Boolean).map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, value)));

function show() {
  $("#arrives").textContent = money(withdrawal.arrives);
  $("#charges").textContent = t("of %(amount)s; fee %(fee)s, tax %(tax)s", { amount: money(withdrawal.amount), fee: money(withdrawal.fee), tax: money(withdrawal.tax) });
  $("#status").replaceChildren(tag(withdrawal.status));
  $("#next").textContent = withdrawal.reason ? `${NEXT[withdrawal.status]} ${withdrawal.reason}` : NEXT[withdrawal.status];
  const to = withdrawal.destination;
  $("#destination").replaceChildren(...facts([
    [t("Holder"), to.holder], [t("Bank"), `${to.bank_name} (${to.bank_code})`], [to.scheme.toUpperCase(), h("span", { class: "num code" }, to.number)],
    [t("Type"), label(to.account_type)], [t("Currency"), to.currency], [t("Country"), to.country], withdrawal.concept && [t("Concept"), withdrawal.concept],
  ]));
  $("#facts").replaceChildren(...facts([
    staff && [t("Client"), clientLink(client.id)], [t("Wallet"), h("a", { href: `/wallets/${withdrawal.wallet_id}` }, root.dataset.wallet)],
    [t("Asked for by"), who(withdrawal.requested_by)], [t("Asked for"), format.dateTime(withdrawal.created_at)],
    withdrawal.payer && [t("Paid by"), who(withdrawal.payer)], withdrawal.bank_reference && [t("Bank reference"), h("span", { class: "code" }, withdrawal.bank_reference)],
    withdrawal.completed_at && [t("Paid"), format.dateTime(withdrawal.completed_at)], withdrawal.email && [t("Confirmation to"), withdrawal.email],
    withdrawal.phone && [t("Phone"), withdrawal.phone], [t("Id"), h("span", { class: "code" }, withdrawal.id)],
  ]));
  for (const [id, statuses] of Object.entries(OFFERED)) {
    const button = $(`#${id}`);
    if (button) button.hidden = !statuses.includes(withdrawal.status);
  }
}

async function load() {
  const [told, booked] = await Promise.all([
    get("/api/v1/events", { client_id: client.id, types: "withdrawal.*", order: "newest", limit: 200 }),
    get("/api/v1/journal/entries", { about_id: withdrawal.id, limit: 20 }),
  ]);
  const mine = told.items.filter((event) => event.object_id === withdrawal.id).reverse();
  $("#history").replaceChildren(mine.length ? h("ol", { class: "timeline" }, mine.map((event) => h("li", { class: TONES[event.data.status] ?? null, "data-status": event.data.status },
    h("div", { class: "fw-semibold" }, eventLabel(event.type)), h("div", { class: "when" }, format.precise(event.at)),
    event.data.reason ? h("div", { class: "small" }, event.data.reason) : null))) : h("p", { class: "text-secondary" }, t("Nothing yet")));
  entries.set(booked.items);
}

function take(newer) {
  if (newer.id !== withdrawal.id || newer.version < withdrawal.version) return;
  withdrawal = newer;
  show();
  setTimeout(() => load().catch(() => {}), 250);
}

const seen = () => ({ "If-Match": `"v${withdrawal.version}"` });

async function tried(work, done) {
  try {
    take(await work());
    toast(done, { tone: "good" });
  } catch (problem) {
    complain(problem);
  }
}

/** Ask why; resolves to the withdrawal as it is then, or null. */
const because = (title, verb, action, required = true) => formDialog(title, [
  h("label", { class: "form-label", for: "reason" }, required ? t("Reason, for the client to read") : t("Reason")),
  h("textarea", { class: "form-control", id: "reason", name: "reason", rows: 3, maxlength: 500 }),
], (form) => post(`${path}/${verb}`, form.elements.reason.value.trim() ? { reason: form.elements.reason.value.trim() } : {}, seen()), { action });

async function paid() {
  const fields = [
    h("div", { class: "mb-3" }, h("label", { class: "form-label", for: "bank_reference" }, t("Bank reference")), h("input", { class: "form-control", id: "bank_reference", name: "bank_reference", maxlength: 100, autocomplete: "off" })),
    h("div", {}, h("label", { class: "form-label", for: "proof" }, t("Proof of the payment (JPEG, PNG or PDF)")), h("input", { class: "form-control", type: "file", id: "proof", name: "proof_id", accept: "image/jpeg,image/png,application/pdf" })),
  ];
  let proof = null; // uploaded once, also where the rest has to be corrected
  const done = await formDialog(t("Paid: %(amount)s", { amount: money(withdrawal.arrives) }), fields, async (form) => {
    const [file] = form.elements.proof_id.files;
    if (file && proof?.file !== file) {
      const data = new FormData();
      data.append("kind", "payment_proof");
      data.append("file", file);
      proof = { file, id: (await post(`/api/v1/clients/${client.id}/documents`, data)).id };
    }
    const body = { bank_reference: form.elements.bank_reference.value.trim() };
    if (proof) body.proof_id = proof.id;
    return post(`${path}/complete`, body, seen());
  }, { action: t("Paid") });
  if (done) { take(done); toast(t("Withdrawal paid"), { tone: "good" }); }
}

const after = (done, words) => { if (done) { take(done); toast(words, { tone: "good" }); } };
$("#start")?.addEventListener("click", async () => {
  const to = withdrawal.destination;
  const words = t("%(amount)s to %(holder)s, %(bank)s %(number)s. The client can no longer cancel it.", { amount: money(withdrawal.arrives), holder: to.holder, bank: to.bank_name, number: to.number });
  if (await confirm(t("Begin to pay?"), words, { action: t("Begin to pay") })) await tried(() => post(`${path}/start`, {}, seen()), t("It is yours to pay now"));
});
$("#complete")?.addEventListener("click", paid);
$("#fail")?.addEventListener("click", async () => after(await because(t("The payment failed"), "fail", t("Give the money back")), t("The money is available again.")));
$("#reject")?.addEventListener("click", async () => after(await because(t("Do not pay it"), "reject", t("Give the money back")), t("The money is available again.")));
$("#cancel")?.addEventListener("click", async () => after(await because(t("Cancel the withdrawal?"), "cancel", t("Cancel withdrawal"), false), t("Withdrawal canceled")));

live.on("withdrawal.*", ({ data }) => take(data));
live.on("reset", () => location.reload());
live.start();
show();
await load().catch((problem) => $("#history").replaceChildren(empty(t("The withdrawal could not be loaded"), problem.message)));
root.dataset.ready = "true";

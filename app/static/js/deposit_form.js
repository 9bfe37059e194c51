// Declaring a deposit: what, how, and the proof of a bank transfer.

import { newOrderId, post } from "./api.js";
import { formDialog } from "./confirm.js";
import { h } from "./dom.js";
import { t } from "./i18n.js";
import { label } from "./labels.js";
import { amount } from "./numbers.js";

const block = (id, text, input, help = null) =>
  h("div", { class: "mb-3" }, h("label", { class: "form-label", for: id }, text), input, help && h("div", { class: "form-text" }, help));
const select = (id, name, codes, text, onchange = null) =>
  h("select", { class: "form-select", id, name, onchange }, codes.map((code) => h("option", { value: code }, text(code))));

/** Ask for a deposit; resolves to it as it was declared, or to null. */
export function declareDeposit({ methods, currencies, client }) {
  const transfer = h("div", {},
    block("deposit-reference", t("Reference of the transfer"), h("input", { class: "form-control", id: "deposit-reference", name: "bank_reference", maxlength: 100, autocomplete: "off" }), t("As your bank shows it, so that we recognize the transfer.")),
    block("deposit-proof", t("Proof of the transfer"), h("input", { class: "form-control", type: "file", id: "deposit-proof", name: "file", accept: "image/jpeg,image/png,application/pdf" }), t("JPEG, PNG or PDF; it helps us to find the money sooner.")));
  const show = () => { transfer.hidden = method.value !== "bank_transfer"; };
  const method = select("deposit-method", "method", methods, label, show);
  const fields = [
    block("deposit-amount", t("Amount"), h("input", { class: "form-control end", type: "text", inputmode: "decimal", id: "deposit-amount", name: "amount", autocomplete: "off" })),
    block("deposit-currency", t("Currency"), select("deposit-currency", "currency", currencies, (code) => code)),
    block("deposit-method", t("Method"), method), transfer,
  ];
  show();
  const once = newOrderId(); // sent again after a lost answer, it is done once
  let proof = null; // uploaded once, however often the rest is corrected
  return formDialog(t("New deposit"), fields, async (form) => {
    const body = { method: method.value, amount: amount(form.elements.amount), currency: form.elements.currency.value };
    if (body.method === "bank_transfer") {
      body.bank_reference = form.elements.bank_reference.value.trim();
      const [file] = form.elements.file.files;
      if (file) {
        if (proof?.file !== file) proof = { file, id: await upload(client, file) };
        body.proof_document_id = proof.id;
      }
    }
    return post("/api/v1/deposits", body, { "Idempotency-Key": await keyOf(once, body) });
  }, { action: t("Declare deposit") });
}

async function upload(client, file) {
  const form = new FormData();
  form.append("kind", "payment_proof");
  form.append("file", file);
  return (await post(`/api/v1/clients/${client}/documents`, form)).id;
}

/** One key for one content: what was corrected after a refusal is another request. */
async function keyOf(once, body) {
  const digest = await crypto.subtle?.digest("SHA-256", new TextEncoder().encode(JSON.stringify(body)));
  if (!digest) return `${once}-${Object.values(body).join("-").replace(/[^\w.-]/g, "")}`.slice(0, 60);
  return `${once}-${[...new Uint8Array(digest).slice(0, 6)].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

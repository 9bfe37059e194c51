// A client's statement of a month, as a PDF.

import { query, save } from "./api.js";
import { formDialog } from "./confirm.js";
import { $, h } from "./dom.js";
import { t } from "./i18n.js";

const button = $("#statement");
const clients = JSON.parse(button.dataset.clients);

/** The last month that is over, as its input takes it. */
function lastMonth() {
  const now = new Date();
  return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - 1, 1)).toISOString().slice(0, 7);
}

button.addEventListener("click", () => {
  const last = lastMonth();
  const client = h("select", { class: "form-select mb-3", id: "statement-client", name: "ref" }, clients.map((item) => h("option", { value: item.code }, `${item.code} · ${item.name}`)));
  return formDialog(t("Monthly statement"), [
    clients.length > 1 && h("label", { class: "form-label", for: "statement-client" }, t("Client")), clients.length > 1 ? client : h("input", { type: "hidden", name: "ref", value: clients[0].code }),
    h("label", { class: "form-label", for: "statement-month" }, t("Month")), h("input", { class: "form-control", type: "month", id: "statement-month", name: "month", value: last, max: last, required: true }),
  ].filter(Boolean), async (form) => {
    const [ref, month] = [form.elements.ref.value, form.elements.month.value];
    await save(query(`/api/v1/clients/${encodeURIComponent(ref)}/statement.pdf`, { month }), `statement_${ref}_${month}.pdf`);
    return true;
  }, { action: t("Download") });
});

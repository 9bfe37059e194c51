import { post } from "./api.js";
import { formDialog } from "./confirm.js";
import { h } from "./dom.js";
import { t } from "./i18n.js";
import { amount } from "./numbers.js";

/** Ask for a new paper wallet of one of the clients ({code, name}); resolves to it, or null. */
export function openWallet(clients) {
  const row = (asset, amount) => h("div", { class: "input-group mb-2" },
    h("input", { class: "form-control", type: "text", name: "asset", value: asset, maxlength: 12, "aria-label": t("Asset") }),
    h("input", { class: "form-control end", type: "text", inputmode: "decimal", name: "amount", value: amount, "aria-label": t("Amount") }));
  const rows = h("div", {}, row("USDT", "100000"), row("USD", "50000"));
  const fields = [
    h("div", { class: "mb-3" }, h("label", { class: "form-label", for: "wallet-client" }, t("Client")),
      h("select", { class: "form-select", id: "wallet-client", name: "client_id" }, clients.map((client) => h("option", { value: client.code }, `${client.code} · ${client.name ?? ""}`)))),
    h("div", { class: "mb-3" }, h("label", { class: "form-label", for: "wallet-name" }, t("Name")), h("input", { class: "form-control", id: "wallet-name", name: "name", value: t("Paper"), maxlength: 100 })),
    h("fieldset", {}, h("legend", { class: "form-label fs-6" }, t("Play money to start with")), rows,
      h("button", { type: "button", class: "btn btn-quiet btn-sm", onclick: () => rows.append(row("", "")) }, t("Add an asset"))),
  ];
  return formDialog(t("New wallet"), fields, (form) => {
    const balances = {};
    const assets = form.querySelectorAll("[name=asset]");
    const amounts = form.querySelectorAll("[name=amount]");
    assets.forEach((asset, index) => { if (asset.value.trim() && amounts[index].value.trim()) balances[asset.value.trim().toUpperCase()] = amount(amounts[index]); });
    return post("/api/v1/wallets", { client_id: form.elements.client_id.value, name: form.elements.name.value.trim(), balances });
  }, { action: t("Open wallet") });
}

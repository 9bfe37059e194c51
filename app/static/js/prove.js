// Proving again who one is, before something delicate: the password, and the code where there is a second step.

import { post } from "./api.js";
import { formDialog } from "./confirm.js";
import { h } from "./dom.js";
import { t } from "./i18n.js";

const input = (name, text, attributes) => h("div", { class: "mb-3" }, h("label", { class: "form-label", for: `prove-${name}` }, text),
  h("input", { class: "form-control", id: `prove-${name}`, name, ...attributes }));

/** Resolves to true once the server believes it, to null when the person goes back. */
export function prove() {
  const withCode = document.body.dataset.secondStep === "true";
  return formDialog(t("Is it you?"), [
    h("p", { class: "text-secondary" }, t("What comes next is delicate. Prove once more who you are.")),
    input("current_password", t("Your password"), { type: "password", autocomplete: "current-password" }),
    withCode && input("code", t("Code of your authenticator app"), { type: "text", inputmode: "numeric", maxlength: "7", autocomplete: "one-time-code" }),
  ].filter(Boolean), async (form) => {
    await post("/account/prove", { current_password: form.elements.current_password.value, code: form.elements.code?.value ?? "" });
    return true;
  }, { action: t("Go on") });
}

// Shows a one-time password, this once.

import { confirm } from "./confirm.js";
import { h } from "./dom.js";
import { t } from "./i18n.js";
import { toast } from "./toast.js";

export function showPassword(user) {
  const copy = async () => {
    await navigator.clipboard?.writeText(user.one_time_password);
    toast(t("Copied"), { tone: "good", seconds: 2 });
  };
  return confirm(t("One-time password of %(name)s", { name: user.name }), [
    h("div", { class: "notice notice-warn mb-3" }, t("Copy it now. It is shown this once and kept by us as a hash alone.")),
    h("p", { class: "d-flex gap-2 align-items-center flex-wrap" }, h("code", { class: "code fs-6", id: "one-time-password" }, user.one_time_password),
      h("button", { type: "button", class: "btn btn-quiet btn-sm", onclick: copy }, t("Copy"))),
    h("p", { class: "text-secondary mb-0" }, t("%(email)s signs in with it and chooses another one at once.", { email: user.email })),
  ], { action: t("I have copied it") });
}

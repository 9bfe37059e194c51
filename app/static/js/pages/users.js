// Users: the list, and a new one, by an invitation that is mailed or with a one-time password.

import { post } from "../api.js";
import { formDialog } from "../confirm.js";
import { $, h } from "../dom.js";
import * as format from "../format.js";
import { t } from "../i18n.js";
import { tag } from "../labels.js";
import { showPassword } from "../one_time_password.js";
import { allRoles, role } from "../roles.js";
import { Table } from "../table.js";

const root = $("#list");
const status = (row) => (row.active ? t("Active") : t("Disabled"));

new Table(root, {
  path: "/api/v1/users", name: "users", filters: $("#filters"), none: [t("No users yet"), ""],
  columns: [
    { label: t("Name"), wrap: true, cell: (row) => h("a", { href: `/users/${row.id}` }, row.name), csv: (row) => row.name },
    { label: t("Email"), key: "email" },
    { label: t("Role"), cell: (row) => role(row.role), csv: (row) => row.role },
    { label: t("Status"), cell: (row) => h("span", { class: "d-inline-flex gap-1" }, tag(status(row), row.active ? "good" : "bad"), row.approval_id && tag(t("waits for approval"), "warn"), row.must_change_password && tag(t("one-time password"), "warn")), csv: status },
    { label: t("Last sign-in"), cell: (row) => format.when(row.last_sign_in_at), csv: (row) => row.last_sign_in_at },
    { label: t("Created"), cell: (row) => format.dateTime(row.created_at), csv: (row) => row.created_at },
  ],
});

const input = (name, text, type) => h("div", { class: "mb-3" }, h("label", { class: "form-label", for: `new-${name}` }, text),
  h("input", { class: "form-control", type, id: `new-${name}`, name, autocomplete: "off" }));

const way = (value, text, checked) => h("div", { class: "form-check" },
  h("input", { class: "form-check-input", type: "radio", name: "way", id: `way-${value}`, value, checked }), h("label", { class: "form-check-label", for: `way-${value}` }, text));

const button = $("#new-user");
button?.addEventListener("click", async () => {
  const clients = JSON.parse(button.dataset.clients);
  const client = h("div", { hidden: true }, h("label", { class: "form-label", for: "new-client" }, t("Client")),
    h("select", { class: "form-select", id: "new-client", name: "client_id" }, clients.map((item) => h("option", { value: item.code }, `${item.code} · ${item.name}`))));
  const choice = h("select", { class: "form-select", id: "new-role", name: "role", onchange: () => { client.hidden = choice.value !== "client"; } },
    h("option", { value: "" }, t("Choose a role")), allRoles.map((code) => h("option", { value: code }, role(code))));
  const created = await formDialog(t("New user"), [
    input("email", t("Email"), "email"), input("name", t("Name"), "text"),
    h("div", { class: "mb-3" }, h("label", { class: "form-label", for: "new-role" }, t("Role")), choice), client,
    h("fieldset", { class: "mt-3" }, h("legend", { class: "form-label fs-6" }, t("How they get in")),
      way("invite", t("A link to choose a password is mailed to them; good for three days."), true),
      way("password", t("A one-time password is shown next. Hand it over; it has to be replaced at the first sign-in."), false)),
    h("p", { class: "form-text mb-0" }, t("One of the firm's people signs in once a second Master has agreed.")),
  ], (form) => {
    const body = { email: form.elements.email.value.trim(), name: form.elements.name.value.trim(), role: choice.value };
    if (choice.value === "client") body.client_id = form.elements.client_id.value;
    return post(form.elements.way.value === "invite" ? "/api/v1/users/invite" : "/api/v1/users", body);
  }, { action: t("Create user") });
  if (!created) return;
  if (created.one_time_password) await showPassword(created);
  location.assign(`/users/${created.id}`);
});
root.dataset.ready = "true";

// Register or change a client: a person or a company, with those that may be the same shown before it is saved.

import { get, patch, post } from "./api.js";
import { formDialog } from "./confirm.js";
import { $, h } from "./dom.js";
import { locale, t } from "./i18n.js";

const PERSON = "person";
const DOCUMENTS = { dni: t("DNI"), ce: t("Foreigner's card (CE)"), passport: t("Passport"), ruc: "RUC" };
const REASONS = { document: t("same document"), email: t("same email"), bank_account: t("same bank account"), name: t("nearly the same name") };
const TEXTS = ["name", "given_names", "paternal_surname", "maternal_surname", "identity_number", "born_on", "email", "address", "occupation", "source_of_funds"];
const CHOICES = ["identity_type", "identity_country", "nationality", "trader_id"];

export const identityName = (type) => DOCUMENTS[type] ?? type;

/** The countries by their names in the reader's language. */
function countries(codes) {
  const names = new Intl.DisplayNames([locale], { type: "region" });
  return codes.map((code) => [code, names.of(code) ?? code]).sort((a, b) => a[1].localeCompare(b[1], locale));
}

/**
 * Open the form; resolves to the client as it was saved, or null. ``client`` null registers one; ``traders`` is empty
 * for those who assign nobody.
 */
export function clientForm({ client = null, traders, codes }) {
  const known = client ?? { kind: PERSON };
  const listed = countries(codes);
  const row = (...cells) => h("div", { class: "row g-3 mb-3" }, cells.map((cell) => h("div", { class: "col-sm" }, cell)));
  const input = (name, text, { type = "text", hint = null, value = known[name] } = {}) => h("div", { "data-field": name },
    h("label", { class: "form-label", for: `client-${name}` }, text),
    h("input", { class: "form-control", type, id: `client-${name}`, name, value: value ?? "", placeholder: hint, autocomplete: "off" }));
  const select = (name, text, options, none = "–") => h("div", { "data-field": name },
    h("label", { class: "form-label", for: `client-${name}` }, text),
    h("select", { class: "form-select", id: `client-${name}`, name },
      none === null ? null : h("option", { value: "" }, none), options.map(([value, label]) => h("option", { value, selected: value === known[name] }, label))));
  const found = h("div", { id: "duplicates" });
  const fields = [
    client ? h("input", { type: "hidden", name: "kind", value: client.kind })
      : row(input("code", t("Code")), select("kind", t("Kind"), [[PERSON, t("Person")], ["company", t("Company")]], null)),
    h("div", { "data-of": PERSON }, row(input("given_names", t("Given names")), input("paternal_surname", t("First surname")), input("maternal_surname", t("Second surname")))),
    row(input("name", t("Name"))),
    row(select("identity_type", t("Document"), Object.entries(DOCUMENTS)), input("identity_number", t("Number")), select("identity_country", t("Issued by"), listed)),
    row(input("born_on", t("Born on"), { type: "date" }), select("nationality", t("Country"), listed)),
    row(input("email", t("Email"), { type: "email" }), input("phones", t("Phones"), { hint: t("several: with semicolons"), value: (known.phones ?? []).join("; ") })),
    row(input("address", t("Address"))),
    row(input("occupation", t("Occupation")), input("source_of_funds", t("Source of funds"))),
    traders.length ? row(select("trader_id", t("Trader"), traders.map((trader) => [trader.id, trader.name]), t("nobody"))) : null,
    client && client.status !== "blocked" ? h("div", { class: "form-check" }, h("input", { class: "form-check-input", type: "checkbox", id: "client-active", name: "active", checked: client.active }),
      h("label", { class: "form-check-label", for: "client-active" }, t("Active: may trade"))) : null,
    found,
  ];
  const look = { seen: "" };
  const dialog = formDialog(client ? t("Edit client") : t("New client"), fields, (form) => save(form, { client, found, look }), { action: client ? t("Save") : t("Register"), size: "modal-lg modal-dialog-scrollable" });
  const form = found.closest("form");
  const suit = () => {
    const person = form.elements.kind.value === PERSON;
    $(`[data-of=${PERSON}]`, form).hidden = !person;
    for (const option of form.elements.identity_type.options) if (option.value) option.hidden = option.disabled = (option.value === "ruc") === person;
    if (form.elements.identity_type.selectedOptions[0]?.disabled) form.elements.identity_type.value = "";
    $("[data-field=identity_country]", form).hidden = form.elements.identity_type.value !== "passport";
    $("label", $("[data-field=born_on]", form)).textContent = person ? t("Born on") : t("Founded on");
    form.elements.name.placeholder = person ? t("made of its parts when left empty") : t("as it is registered");
  };
  form.addEventListener("change", suit);
  suit();
  return dialog;
}

function read(form, client) {
  const person = form.elements.kind.value === PERSON;
  const body = {};
  for (const name of [...TEXTS, ...CHOICES]) {
    if (form.elements[name]) body[name] = form.elements[name].value.trim() || null;
  }
  if (body.identity_type !== "passport") body.identity_country = null;
  if (!person) for (const name of ["given_names", "paternal_surname", "maternal_surname"]) body[name] = null;
  const phones = form.elements.phones.value.split(";").map((phone) => phone.trim()).filter(Boolean);
  body.phones = phones.length ? phones : null;
  if (!client) return { ...body, code: form.elements.code.value.trim(), kind: form.elements.kind.value };
  if (body.name === client.name) delete body.name; // so that it follows its parts
  else if (body.name === null) body.name = [body.given_names, body.paternal_surname, body.maternal_surname].filter(Boolean).join(" ");
  if (form.elements.active) body.active = form.elements.active.checked;
  return body;
}

/** Shown once, a likeness is the reader's to judge: the next press saves. */
async function save(form, { client, found, look }) {
  const body = read(form, client);
  const name = body.name ?? [body.given_names, body.paternal_surname, body.maternal_surname].filter(Boolean).join(" ");
  const asked = { name, email: body.email, identity_type: body.identity_number && body.identity_type, identity_number: body.identity_type && body.identity_number, identity_country: body.identity_country, apart_from: client?.id };
  const key = JSON.stringify(asked);
  if (look.seen !== key && (name || body.email || asked.identity_number)) {
    const items = (await get("/api/v1/clients/duplicates", asked)).items;
    look.seen = key;
    found.replaceChildren(...(items.length ? [notice(items)] : []));
    if (items.length) {
      found.scrollIntoView({ block: "nearest" });
      throw Object.assign(new Error(t("Look at these clients first; press again to save all the same.")), { errors: [] });
    }
  }
  try {
    return await (client ? patch(`/api/v1/clients/${client.id}`, body, client.version) : post("/api/v1/clients", body));
  } catch (problem) {
    for (const error of problem.errors ?? []) error.field = error.field === "body" ? "name" : error.field.replace(/\.\d+$/, "");
    throw problem;
  }
}

function notice(items) {
  const line = (item) => h("li", {}, item.code ? h("a", { href: `/clients/${encodeURIComponent(item.code)}`, target: "_blank", rel: "noopener" }, `${item.code} · ${item.name}`) : t("A client of somebody else's"),
    `: ${item.reasons.map((reason) => REASONS[reason]).join(", ")}`);
  return h("div", { class: "notice notice-warn", role: "alert" }, h("div", {}, h("strong", {}, t("May be the same client:")), h("ul", { class: "mb-0" }, items.map(line))));
}

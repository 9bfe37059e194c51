// Those who stand behind a company: shown, and changed as a whole.

import { get, put } from "./api.js";
import { identityName } from "./client_form.js";
import { confirm, formDialog } from "./confirm.js";
import { typed } from "./decimal.js";
import { h } from "./dom.js";
import * as format from "./format.js";
import { t } from "./i18n.js";
import { MiniTable } from "./mini_table.js";
import { complain, toast } from "./toast.js";

const ROLES = { representative: t("Represents it"), beneficial_owner: t("Owns more than a quarter") };

/** Draw the tab of the company ``client``, a code; ``edit`` says whether the reader may change it. */
export async function relatedPersons(node, { client, edit, codes }) {
  const path = `/api/v1/clients/${encodeURIComponent(client)}/related-persons`;
  const list = h("div", { "data-label": t("Behind the company") });
  const table = new MiniTable(list, {
    most: 20, sort: () => 0, none: [t("Nobody is named yet"), t("Who represents the company, and who owns more than a quarter of it."), "people"],
    columns: [
      { label: t("Name"), cell: (row) => h("span", { class: "long-text" }, row.name) },
      { label: t("Role"), cell: (row) => ROLES[row.role] },
      { label: t("Document"), cell: (row) => `${identityName(row.identity_type)} ${row.identity_number} (${row.identity_country})` },
      { label: t("Share"), end: true, cell: (row) => (row.share_percent ? `${format.number(row.share_percent)} %` : "–") },
      ...(edit ? [{ label: "", cell: (row) => h("div", { class: "row-actions" }, h("button", { type: "button", class: "btn btn-sm btn-quiet", "aria-label": `${t("Remove")}: ${row.name}`, onclick: () => take(row) }, t("Remove"))) }] : []),
    ],
  });
  const load = async () => table.set((await get(path)).items);
  const present = () => [...table.rows.values()].map(({ id, ...row }) => row);

  async function take(row) {
    if (!(await confirm(t("Remove this person?"), row.name, { action: t("Remove"), style: "btn-danger" }))) return;
    await put(path, { items: [...table.rows.values()].filter((known) => known.id !== row.id).map(({ id, ...kept }) => kept) }).catch(complain);
    await load();
  }

  async function add() {
    const input = (name, text) => h("div", { class: "mb-3" }, h("label", { class: "form-label", for: `person-${name}` }, text), h("input", { class: "form-control", id: `person-${name}`, name, autocomplete: "off" }));
    const select = (name, text, options) => h("div", { class: "mb-3" }, h("label", { class: "form-label", for: `person-${name}` }, text), h("select", { class: "form-select", id: `person-${name}`, name }, options.map(([value, label]) => h("option", { value }, label))));
    const added = await formDialog(t("Add a person"), [
      select("role", t("Role"), Object.entries(ROLES)), input("name", t("Name")),
      select("identity_type", t("Document"), ["dni", "ce", "passport", "ruc"].map((type) => [type, identityName(type)])), input("identity_number", t("Number")),
      select("identity_country", t("Issued by"), [["", "–"], ...codes.map((code) => [code, code])]), input("share_percent", t("Share in percent")),
    ], async (form) => {
      const value = (name) => form.elements[name].value.trim() || null;
      const person = { role: value("role"), name: value("name") ?? "", identity_type: value("identity_type"), identity_number: value("identity_number") ?? "", identity_country: value("identity_country"), share_percent: typed(form.elements.share_percent.value) || null };
      try {
        return await put(path, { items: [...present(), person] });
      } catch (problem) {
        for (const error of problem.errors ?? []) error.field = error.field.replace(/^items\.\d+\./, "");
        throw problem;
      }
    }, { action: t("Add") });
    if (added) toast(t("Person added"), { tone: "good" });
    await load();
  }

  node.replaceChildren(...(edit ? [h("div", { class: "p-3 pb-0 text-end" }, h("button", { type: "button", class: "btn btn-primary btn-sm", id: "new-person", onclick: add }, t("Add a person")))] : []), list);
  await load();
}

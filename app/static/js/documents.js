// The documents of a client: what there is, one more, one less.

import { get, post, remove } from "./api.js";
import { confirm, formDialog } from "./confirm.js";
import { h, icon } from "./dom.js";
import * as format from "./format.js";
import { t } from "./i18n.js";
import * as live from "./live.js";
import { MiniTable } from "./mini_table.js";
import { who } from "./people.js";
import { complain, toast } from "./toast.js";

const KINDS = {
  id_front: t("Document, front"), id_back: t("Document, back"), selfie: t("Photo of the person"), proof_of_address: t("Proof of address"),
  company_papers: t("Company papers"), payment_proof: t("Proof of payment"), other: t("Other"),
};
const MOST = 200;

export const documentName = (kind) => KINDS[kind] ?? kind;
const size = (bytes) => (bytes < 1024 * 1024 ? t("%(n)s KB", { n: format.number(String(Math.ceil(bytes / 1024))) }) : t("%(n)s MB", { n: format.number((bytes / 1024 / 1024).toFixed(1)) }));

/** Draw the documents of ``client``, an id; ``edit`` says whether the reader may add and remove. */
export async function documents(node, { client, edit }) {
  const path = `/api/v1/clients/${encodeURIComponent(client)}/documents`;
  const list = h("div", { "data-label": t("Documents") });
  const table = new MiniTable(list, {
    most: MOST, sort: (a, b) => (a.created_at < b.created_at ? 1 : -1), none: [t("No documents yet"), t("JPEG, PNG or PDF.")],
    columns: [
      { label: t("Kind"), cell: (row) => documentName(row.kind) },
      { label: t("File"), cell: (row) => h("a", { class: "long-text", href: `${path}/${row.id}/file`, download: row.filename }, row.filename) },
      { label: t("Size"), end: true, cell: (row) => size(row.size_bytes) },
      { label: t("Uploaded by"), cell: (row) => who(row.uploaded_by) },
      { label: t("Uploaded"), cell: (row) => format.dateTime(row.created_at) },
      ...(edit ? [{ label: "", cell: (row) => h("div", { class: "row-actions" }, h("button", { type: "button", class: "btn btn-sm btn-quiet", "aria-label": `${t("Remove")}: ${row.filename}`, onclick: () => take(row) }, t("Remove"))) }] : []),
    ],
  });

  const load = async () => table.set((await get(path, { limit: MOST })).items);

  async function take(row) {
    if (!(await confirm(t("Remove the document?"), `${documentName(row.kind)}: ${row.filename}`, { action: t("Remove"), style: "btn-danger" }))) return;
    try {
      await remove(`${path}/${row.id}`);
      toast(t("Document removed"), { tone: "good" });
    } catch (problem) {
      complain(problem);
    }
    await load();
  }

  async function add() {
    const added = await formDialog(t("Add a document"), [
      h("div", { class: "mb-3" }, h("label", { class: "form-label", for: "document-kind" }, t("Kind")),
        h("select", { class: "form-select", id: "document-kind", name: "kind" }, Object.entries(KINDS).map(([value, label]) => h("option", { value }, label)))),
      h("div", {}, h("label", { class: "form-label", for: "document-file" }, t("File")), h("input", { class: "form-control", type: "file", id: "document-file", name: "file", accept: "image/jpeg,image/png,application/pdf" }),
        h("div", { class: "form-text" }, t("JPEG, PNG or PDF."))),
    ], (form) => {
      const sent = new FormData();
      sent.append("kind", form.elements.kind.value);
      if (form.elements.file.files.length) sent.append("file", form.elements.file.files[0]);
      return post(path, sent);
    }, { action: t("Upload") });
    if (added) toast(t("Document added"), { tone: "good" });
    await load();
  }

  for (const type of ["client.document_added", "client.document_removed"]) live.on(type, ({ data }) => { if (data.client_id === client) load(); });
  node.replaceChildren(...(edit ? [h("div", { class: "p-3 pb-0 text-end" }, h("button", { type: "button", class: "btn btn-primary btn-sm", id: "new-document", onclick: add }, icon("plus-lg"), " ", t("Add a document")))] : []), list);
  await load();
}

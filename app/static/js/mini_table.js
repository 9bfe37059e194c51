// A short list without pages, kept up to date in place.

import { empty, h } from "./dom.js";

export class MiniTable {
  constructor(root, { columns, none, most = 8, keep = () => true, sort = (a, b) => (a.id < b.id ? 1 : -1) }) {
    Object.assign(this, { root, columns, none, most, keep, sort, rows: new Map() });
  }

  set(rows) {
    this.rows = new Map(rows.map((row) => [row.id, row]));
    this.draw();
  }

  /** Take a newer version of a row, or one that is new; rows that no longer belong are dropped. */
  take(row, { onlyKnown = false } = {}) {
    const known = this.rows.get(row.id);
    if ((known && (known.version ?? 0) > (row.version ?? 0)) || (onlyKnown && !known)) return;
    if (this.keep(row)) this.rows.set(row.id, row);
    else this.rows.delete(row.id);
    this.draw(row.id);
  }

  draw(fresh = null) {
    const rows = [...this.rows.values()].filter(this.keep).sort(this.sort).slice(0, this.most);
    if (!rows.length) { this.root.replaceChildren(empty(...this.none)); return; }
    this.root.replaceChildren(h("div", { class: "table-wrap", tabindex: "0", role: "region", "aria-label": this.root.dataset.label ?? this.none[0] }, h("table", { class: "list cards-on-phone" },
      h("thead", {}, h("tr", {}, this.columns.map((column) => h("th", { scope: "col", class: column.end ? "end" : null }, column.label)))),
      h("tbody", {}, rows.map((row) => h("tr", { "data-id": row.id, class: row.id === fresh ? "fresh" : null },
        this.columns.map((column) => h("td", { class: column.end ? "end" : column.wide ? "wide" : null, "data-label": column.label }, column.cell ? column.cell(row) : row[column.key]))))))));
  }
}

// A list from the API: paging, sorting and filters on the server and in the URL, CSV of what is seen.

import { get } from "./api.js";
import { download } from "./csv.js";
import { $, $$, empty, h, icon } from "./dom.js";
import { t } from "./i18n.js";

const SIZE = 25;
const EXPORT_PAGE = 200;
const EXPORT_MOST = 10_000;

/**
 * A column: {key, label, cell(row), end, wrap, sort, csv(row)}; ``cell`` gives text or nodes, ``sort`` the
 * API's name of the order. ``fixed`` are parameters nobody may change; ``url`` false keeps the state to itself.
 */
export class Table {
  constructor(root, { path, columns, fixed = {}, url = true, filters = null, size = SIZE, none, name = "cambista" }) {
    Object.assign(this, { root, path, columns, fixed, url, size, none, name, rows: [], total: 0, query: 0 });
    this.form = filters;
    this.params = url ? Object.fromEntries(new URLSearchParams(location.search)) : {};
    this.build();
    if (this.form) this.bindFilters();
    this.load();
  }

  build() {
    this.head = h("tr", {}, this.columns.map((column) => this.headCell(column)));
    this.body = h("tbody");
    this.note = h("div");
    this.status = h("span", { role: "status" });
    this.previous = h("button", { type: "button", class: "btn btn-quiet btn-sm", onclick: () => this.turn(-1) }, t("Previous"));
    this.next = h("button", { type: "button", class: "btn btn-quiet btn-sm", onclick: () => this.turn(1) }, t("Next"));
    this.export = h("button", { type: "button", class: "btn btn-quiet btn-sm", onclick: () => this.save() }, icon("download"), " CSV");
    this.root.replaceChildren(
      h("div", { class: "table-wrap", tabindex: "0", role: "region", "aria-label": this.root.dataset.label ?? t("List") },
        h("table", { class: "list cards-on-phone" }, h("thead", {}, this.head), this.body)),
      this.note,
      h("div", { class: "pager" }, this.status, h("div", { class: "end" }, this.export, this.previous, this.next)));
  }

  headCell(column) {
    const end = column.end ? "end" : null;
    if (!column.sort) return h("th", { scope: "col", class: end }, column.label);
    const [current, direction] = this.order();
    const mine = current === column.sort;
    return h("th", { scope: "col", class: end, "aria-sort": mine ? (direction === "desc" ? "descending" : "ascending") : "none" },
      h("button", { type: "button", onclick: () => this.sortBy(column.sort) }, column.label,
        mine ? icon(direction === "desc" ? "arrow-down-short" : "arrow-up-short") : null));
  }

  order() {
    const sort = this.params.sort ?? "";
    return sort.startsWith("-") ? [sort.slice(1), "desc"] : [sort, "asc"];
  }

  sortBy(name) {
    const [current, direction] = this.order();
    this.set({ sort: current === name && direction === "desc" ? name : `-${name}` });
    this.head.replaceChildren(...this.columns.map((column) => this.headCell(column)));
  }

  bindFilters() {
    const apply = () => {
      const values = {};
      for (const input of $$("[name]", this.form)) {
        values[input.name] = input.type === "date" && input.value ? dayLimit(input) : input.value.trim();
      }
      this.set(values);
    };
    for (const input of $$("[name]", this.form)) {
      const value = this.params[input.name] ?? "";
      input.value = input.type === "date" ? localDay(value, input) : value;
    }
    let timer = 0;
    this.form.addEventListener("input", (event) => {
      if (event.target.type !== "search" && event.target.type !== "text") return;
      clearTimeout(timer);
      timer = setTimeout(apply, 300);
    });
    this.form.addEventListener("change", (event) => event.target.type !== "search" && apply());
    this.form.addEventListener("submit", (event) => { event.preventDefault(); apply(); });
    $("[data-clear]", this.form)?.addEventListener("click", () => {
      for (const input of $$("[name]", this.form)) input.value = "";
      apply();
    });
  }

  set(values) {
    for (const [name, value] of Object.entries({ page: "", ...values })) {
      if (value) this.params[name] = value;
      else delete this.params[name];
    }
    if (this.url) {
      const search = new URLSearchParams(this.params).toString();
      history.replaceState(null, "", search ? `?${search}` : location.pathname);
    }
    this.load();
  }

  get page() { return Math.max(1, Number.parseInt(this.params.page ?? "1", 10) || 1); }

  turn(step) { this.set({ page: String(this.page + step) === "1" ? "" : String(this.page + step) }); }

  parameters() {
    const known = { ...this.params };
    delete known.page;
    return { ...known, ...this.fixed };
  }

  async load() {
    const mine = ++this.query;
    try {
      const answer = await get(this.path, { ...this.parameters(), limit: this.size, offset: (this.page - 1) * this.size });
      if (mine !== this.query) return;
      this.rows = answer.items;
      this.total = answer.total ?? null;
      this.more = answer.has_more;
      this.draw();
    } catch (problem) {
      if (mine === this.query) this.note.replaceChildren(empty(t("The list could not be loaded"), problem.message, "exclamation-triangle"));
    }
  }

  /** Load again soon; several calls in a moment make one request. */
  refresh() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.load(), 250);
  }

  /** Show a newer version of a row that is on this page; false when it is not. */
  update(row) {
    const at = this.rows.findIndex((known) => known.id === row.id);
    if (at < 0) return false;
    if ((this.rows[at].version ?? 0) > (row.version ?? 0)) return true;
    this.rows[at] = row;
    const drawn = this.row(row);
    drawn.classList.add("fresh");
    this.body.children[at].replaceWith(drawn);
    return true;
  }

  row(row) {
    return h("tr", { "data-id": row.id }, this.columns.map((column) =>
      h("td", { class: column.end ? "end" : column.wide ? "wide" : column.wrap ? "wrap" : null, "data-label": column.label }, column.cell ? column.cell(row) : row[column.key] ?? "–")));
  }

  draw() {
    this.body.replaceChildren(...this.rows.map((row) => this.row(row)));
    const filtered = Object.keys(this.params).some((name) => name !== "page" && name !== "sort");
    const [title, hint] = filtered
      ? [t("Nothing matches the filters"), t("Change or clear the filters to see more.")]
      : this.none ?? [t("Nothing here yet"), ""];
    this.note.replaceChildren(...(this.rows.length ? [] : [empty(title, hint)]));
    const first = (this.page - 1) * this.size;
    this.status.textContent = !this.rows.length ? ""
      : this.total === null ? t("%(first)s to %(last)s", { first: first + 1, last: first + this.rows.length })
        : t("%(first)s to %(last)s of %(total)s", { first: first + 1, last: first + this.rows.length, total: this.total });
    this.previous.disabled = this.page === 1;
    this.next.disabled = !this.more;
    this.export.disabled = !this.rows.length;
  }

  /** Everything the filters let through, not only this page. */
  async save() {
    this.export.disabled = true;
    const columns = this.columns.filter((column) => column.label);
    const rows = [];
    try {
      for (let more = true, offset = 0; more && rows.length < EXPORT_MOST; offset += EXPORT_PAGE) {
        const answer = await get(this.path, { ...this.parameters(), limit: EXPORT_PAGE, offset });
        rows.push(...answer.items);
        more = answer.has_more && answer.items.length > 0;
      }
      download(`${this.name}-${new Date().toISOString().slice(0, 10)}.csv`, columns.map((column) => column.label),
        rows.map((row) => columns.map((column) => (column.csv ? column.csv(row) : row[column.key]))));
    } finally {
      this.export.disabled = false;
    }
  }
}

function dayLimit(input) {
  const date = new Date(`${input.value}T00:00:00`);
  if (input.dataset.until !== undefined) date.setDate(date.getDate() + 1);
  return date.toISOString();
}

function localDay(value, input) {
  if (!value) return "";
  const date = new Date(value);
  if (input.dataset.until !== undefined) date.setDate(date.getDate() - 1);
  const pad = (part) => String(part).padStart(2, "0");
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
}

// Clients from a CSV file: in parts, with a bar, first as a trial, then in earnest.

import { post } from "../api.js";
import { $, h } from "../dom.js";
import { fieldText } from "../failures.js";
import { number } from "../format.js";
import { t } from "../i18n.js";
import { tag } from "../labels.js";
import { complain } from "../toast.js";

const PART = 100; // rows of one request
const root = $("#import");
const [file, trial, run, bar, result] = ["#file", "#trial", "#run", "#bar", "#result"].map((id) => $(id));
const OUTCOMES = { valid: [t("Can be registered"), "info"], created: [t("Registered"), "good"], refused: [t("Refused"), "bad"] };

/** The records of a CSV text, each as it stands: a line end within quotes belongs to its cell. */
function records(text) {
  const found = [];
  let start = 0;
  let quoted = false;
  for (let place = 0; place <= text.length; place += 1) {
    if (text[place] === '"') quoted = !quoted;
    if (place === text.length || (text[place] === "\n" && !quoted)) {
      found.push(text.slice(start, place).replace(/\r$/, ""));
      start = place + 1;
    }
  }
  return found;
}

async function decoded(chosen) {
  const bytes = await chosen.arrayBuffer();
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder("windows-1252").decode(bytes); // as Excel writes it in Spanish
  }
}

async function send(dryRun) {
  const [head, ...rows] = records(await decoded(file.files[0]));
  const items = [];
  bar.hidden = false;
  for (let start = 0; start < Math.max(rows.length, 1); start += PART) {
    const form = new FormData();
    form.append("dry_run", String(dryRun));
    form.append("file", new Blob([[head, ...rows.slice(start, start + PART)].join("\r\n")], { type: "text/csv" }), file.files[0].name);
    const report = await post("/api/v1/clients/import", form);
    items.push(...report.items.map((item) => ({ ...item, line: item.line + start })));
    bar.value = Math.min(start + PART, rows.length) / Math.max(rows.length, 1);
    show(items, dryRun, start + PART >= rows.length);
  }
  return items;
}

function show(items, dryRun, finished) {
  const refused = items.filter((item) => item.outcome === "refused");
  const values = { good: number(String(items.length - refused.length)), refused: number(String(refused.length)) };
  const said = dryRun ? t("%(good)s can be registered, %(refused)s are refused.", values) : t("%(good)s registered, %(refused)s refused.", values);
  const row = (item) => h("tr", {}, h("td", { "data-label": t("Row") }, String(item.line)), h("td", { "data-label": t("Code") }, item.client_id ? h("a", { href: `/clients/${encodeURIComponent(item.code)}` }, item.code) : item.code ?? "–"),
    h("td", { "data-label": t("Result") }, tag(...OUTCOMES[item.outcome])), h("td", { class: "wide", "data-label": t("Reason") }, item.errors.map((error) => h("div", {}, `${error.field}: ${fieldText(error)}`))));
  result.replaceChildren(
    h("p", { class: "fw-semibold p-3 mb-0", id: "summary", role: "status", "data-finished": finished ? "true" : null }, said),
    h("div", { class: "table-wrap", tabindex: "0", role: "region", "aria-label": t("Report") }, h("table", { class: "list cards-on-phone" },
      h("thead", {}, h("tr", {}, [t("Row"), t("Code"), t("Result"), t("Reason")].map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, [...refused, ...items.filter((item) => item.outcome !== "refused")].slice(0, 1000).map(row)))));
}

async function start(dryRun) {
  trial.disabled = run.disabled = true;
  let good = false;
  try {
    good = (await send(dryRun)).some((item) => item.outcome !== "refused");
  } catch (problem) {
    complain(problem);
  }
  trial.disabled = false;
  run.disabled = !(dryRun && good);
}

file.addEventListener("change", () => {
  trial.disabled = !file.files.length;
  run.disabled = true;
  result.replaceChildren();
  bar.hidden = true;
});
trial.addEventListener("click", () => start(true));
run.addEventListener("click", () => start(false));
root.dataset.ready = "true";

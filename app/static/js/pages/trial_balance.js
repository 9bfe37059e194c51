import { get, query } from "../api.js";
import { $, empty, h } from "../dom.js";
import * as format from "../format.js";
import { t } from "../i18n.js";
import { accountName } from "../labels.js";
import { sum } from "../decimal.js";

const root = $("#trial-balance");
const until = $("#f-until");
const chosen = new URLSearchParams(location.search).get("day") ?? "";

async function load() {
  let moment = "";
  if (until.value) {
    const end = new Date(`${until.value}T00:00:00`);
    end.setDate(end.getDate() + 1);
    moment = end.toISOString();
  }
  history.replaceState(null, "", until.value ? `?day=${until.value}` : location.pathname);
  $("#csv").href = query("/api/v1/journal/trial-balance", { format: "csv", until: moment });
  try {
    draw((await get("/api/v1/journal/trial-balance", { until: moment })).items);
  } catch (problem) {
    root.replaceChildren(empty(t("The trial balance could not be loaded"), problem.message, "exclamation-triangle"));
  }
}

function draw(rows) {
  if (!rows.length) { root.replaceChildren(empty(t("The journal is empty"), t("Every movement of money is one balanced entry here."))); return; }
  const head = [[t("Code")], [t("Account")], [t("Currency")], [t("Increases"), "end"], [t("Decreases"), "end"], [t("Balance"), "end"], [t("Postings"), "end"]];
  const currencies = [...new Set(rows.map((row) => row.currency))];
  const amount = (text) => h("td", { class: "end" }, format.number(text, { min: 2 }));
  root.replaceChildren(h("div", { class: "table-wrap", tabindex: "0", role: "region", "aria-label": t("Trial balance") }, h("table", { class: "list" },
    h("thead", {}, h("tr", {}, head.map(([text, end]) => h("th", { scope: "col", class: end }, text)))),
    currencies.map((currency) => {
      const mine = rows.filter((row) => row.currency === currency);
      const total = sum(mine.map((row) => row.balance));
      return h("tbody", {}, mine.map((row) => h("tr", {}, h("td", { class: "num" }, row.code), h("td", {}, accountName(row.name)), h("td", {}, row.currency),
        amount(row.increases), amount(row.decreases), amount(row.balance), h("td", { class: "end" }, format.number(String(row.postings))))),
      h("tr", { "data-sum": currency }, h("td", { colspan: 5, class: "end fw-semibold" }, t("Sum of %(currency)s", { currency })),
        h("td", { class: `end fw-semibold ${total === "0" ? "up" : "down"}` }, format.number(total, { min: 2 })), h("td")));
    }))));
}

until.value = chosen;
until.addEventListener("change", load);
load();

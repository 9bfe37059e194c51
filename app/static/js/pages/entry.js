import { $, h } from "../dom.js";
import * as format from "../format.js";
import { t } from "../i18n.js";
import { accountName, label } from "../labels.js";

const root = $("#postings");
const head = [[t("Code")], [t("Account")], [t("Owner")], [t("Amount"), "end"], [t("Currency")]];
root.replaceChildren(h("div", { class: "table-wrap" }, h("table", { class: "list" },
  h("thead", {}, h("tr", {}, head.map(([text, end]) => h("th", { scope: "col", class: end }, text)))),
  h("tbody", {}, JSON.parse(root.dataset.postings).map((line) => h("tr", {},
    h("td", { class: "num" }, line.code), h("td", {}, accountName(line.name)),
    h("td", {}, line.wallet_id ? h("a", { href: `/wallets/${line.wallet_id}` }, t("Wallet")) : label(line.owner)),
    h("td", { class: `end ${format.tone(line.amount)}` }, format.number(line.amount, { plus: true, min: 2 })), h("td", {}, line.currency)))))));

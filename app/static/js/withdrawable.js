// What a client may withdraw, a card for each wallet and currency; what is kept back or set aside is said below.

import { get } from "./api.js";
import { h } from "./dom.js";
import * as format from "./format.js";
import { t } from "./i18n.js";
import * as live from "./live.js";

const SOON_MS = 250; // several changes in a moment make one request
const PARTS = [["owed", t("owed to the house")], ["disputed", t("disputed deposits")], ["play_money", t("play money")], ["held_by_orders", t("held for orders")], ["held_by_withdrawals", t("held for withdrawals")]];

function card(item) {
  const money = (text) => format.money(text, item.currency);
  const said = PARTS.filter(([name]) => item[name] !== "0").map(([name, text]) => `${text} ${money(item[name])}`);
  return h("div", { class: "panel card-figure", "data-currency": item.currency },
    h("span", { class: "label" }, t("May be withdrawn")), h("span", { class: "value" }, money(item.withdrawable)),
    h("span", { class: "note" }, [t("available %(amount)s", { amount: money(item.available) }), ...said].join(" · ")));
}

/** Draw the cards of the client who reads, and keep them up to date. */
export async function withdrawableCards(node) {
  const load = async () => node.replaceChildren(...(await get("/api/v1/funding/withdrawable")).items.map(card));
  let timer = 0;
  const soon = () => { clearTimeout(timer); timer = setTimeout(() => load().catch(() => {}), SOON_MS); };
  for (const type of ["wallet.balance", "deposit.*", "withdrawal.*"]) live.on(type, soon);
  await load();
}

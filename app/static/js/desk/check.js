// What an order would cost and change, and whether it would pass, while it is being typed.

import { post } from "../api.js";
import { showErrors } from "../confirm.js";
import { h } from "../dom.js";
import { changeText, failureText, fieldText } from "../failures.js";
import { balance, money, price } from "../format.js";
import { t } from "../i18n.js";
import { instrument } from "./state.js";

const WAIT_MS = 350;
const AGAIN_MS = 5000;
const said = (request) => JSON.stringify(request);

export class Check {
  constructor(root, form) {
    Object.assign(this, { root, form, timer: 0, serial: 0, answer: null, about: null });
    this.ask(null);
  }

  /** Check ``request`` soon, and again while it stands; null clears. */
  ask(request, wait = WAIT_MS) {
    clearTimeout(this.timer);
    const mine = ++this.serial;
    this.answer = null;
    if (!request) {
      showErrors(this.form, []);
      this.root.replaceChildren(h("div", { class: "text-secondary" }, t("Enter a quantity to see cost, fee and checks.")));
      return;
    }
    this.timer = setTimeout(() => this.run(request, mine), wait);
  }

  /** Fields that are wrong before anything is asked: nothing is checked until they are right. */
  refuse(errors) {
    this.ask(null);
    showErrors(this.form, errors, instrument());
    this.root.replaceChildren(h("div", { class: "text-secondary" }, t("Correct the marked fields.")));
  }

  /** The answer about exactly this request, if it is known. */
  known(request) {
    return this.answer && this.about === said(request) ? this.answer : null;
  }

  /** The answer about this request, asked at once; null where there is none. */
  async now(request) {
    clearTimeout(this.timer);
    await this.run(request, ++this.serial);
    return this.known(request);
  }

  async run(request, mine) {
    if (document.hidden) { this.timer = setTimeout(() => this.run(request, mine), AGAIN_MS); return; }
    try {
      const answer = await post("/api/v1/orders", { ...request, dry_run: true });
      if (mine !== this.serial) return;
      this.answer = answer;
      this.about = said(request);
      showErrors(this.form, []);
      this.show(answer);
    } catch (problem) {
      if (mine !== this.serial) return;
      this.answer = null;
      const left = showErrors(this.form, problem.errors ?? [], instrument());
      const texts = problem.errors?.length ? left.map((error) => `${error.field}: ${fieldText(error, instrument())}`) : [problem.message];
      this.root.replaceChildren(texts.length ? list(texts.map((text) => [text])) : h("div", { class: "text-secondary" }, t("Correct the marked fields.")));
    }
    this.timer = setTimeout(() => this.run(request, mine), AGAIN_MS);
  }

  figures(answer = this.answer) {
    if (!answer) return [];
    const currency = instrument().quote;
    return [
      [t("Value"), balance(answer.value, currency)],
      [t("Fee"), money(answer.fee, currency, { max: 4 })],
      [answer.side === "BUY" ? t("Set aside at most") : t("Set aside"), balance(answer.reserve, answer.reserve_currency)],
    ];
  }

  show(answer) {
    const rows = [
      answer.qty ? [t("Quantity"), money(answer.qty, instrument().base)] : null,
      ...this.figures(answer),
      [t("Available"), balance(answer.available, answer.reserve_currency)],
    ].filter(Boolean);
    this.root.replaceChildren(
      h("dl", {}, rows.map(([term, text]) => [h("dt", {}, term), h("dd", {}, text)])),
      changes(answer) ?? "",
      answer.accepted ? h("div", { class: "up mt-1" }, t("Passes every check")) : failures(answer));
  }

  /** The order was stored as rejected: say why, here too. */
  failed(found) {
    this.root.replaceChildren(h("strong", { class: "down" }, t("Rejected")), list(found.map(failureText)));
  }
}

/** What the order would change of what is there already; null for nothing. */
export function changes(answer) {
  if (!answer?.changes?.length) return null;
  const { tick_size: tick } = instrument(answer.symbol);
  return h("ul", { class: "changes", role: "alert" }, answer.changes.map((change) => h("li", {}, changeText(change, (value) => price(value, tick)))));
}

export const failures = (answer) => (answer?.accepted === false ? list(answer.failures.map(failureText)) : null);

const list = (lines) =>
  h("ul", { role: "alert" }, lines.map(([text, values]) => h("li", {}, text, values ? h("div", { class: "values" }, values) : null)));

// What an order would cost and whether it would pass, while it is being typed.

import { post } from "../api.js";
import { showErrors } from "../confirm.js";
import { h } from "../dom.js";
import { money } from "../format.js";
import { t } from "../i18n.js";
import { failureText, fieldText } from "../failures.js";
import { instrument } from "./state.js";

const WAIT_MS = 350;
const AGAIN_MS = 5000;

export class Check {
  constructor(root, form) {
    Object.assign(this, { root, form, timer: 0, serial: 0, answer: null });
    this.ask(null);
  }

  /** Check ``request`` soon, and again while it stands; null clears. */
  ask(request, wait = WAIT_MS) {
    clearTimeout(this.timer);
    const mine = ++this.serial;
    if (!request) {
      this.answer = null;
      showErrors(this.form, []);
      this.root.replaceChildren(h("div", { class: "text-secondary" }, t("Enter a quantity to see cost, fee and checks.")));
      return;
    }
    this.timer = setTimeout(() => this.run(request, mine), wait);
  }

  async run(request, mine) {
    if (document.hidden) { this.timer = setTimeout(() => this.run(request, mine), AGAIN_MS); return; }
    try {
      const answer = await post("/api/v1/orders", { ...request, dry_run: true });
      if (mine !== this.serial) return;
      this.answer = answer;
      showErrors(this.form, []);
      this.show(answer);
    } catch (problem) {
      if (mine !== this.serial) return;
      this.answer = null;
      const left = showErrors(this.form, problem.errors ?? []);
      const texts = problem.errors?.length ? left.map((error) => `${error.field}: ${fieldText(error)}`) : [problem.message];
      this.root.replaceChildren(texts.length ? list(texts.map((text) => [text])) : h("div", { class: "text-secondary" }, t("Correct the marked fields.")));
    }
    this.timer = setTimeout(() => this.run(request, mine), AGAIN_MS);
  }

  figures() {
    const answer = this.answer;
    if (!answer) return [];
    const currency = instrument().quote;
    return [
      [t("Value"), money(answer.value, currency)],
      [t("Fee"), money(answer.fee, currency)],
      [answer.side === "BUY" ? t("Set aside at most") : t("Set aside"), money(answer.reserve, answer.reserve_currency)],
    ];
  }

  show(answer) {
    const rows = [
      answer.quote_qty !== undefined || answer.qty ? [t("Quantity"), money(answer.qty, instrument().base)] : null,
      ...this.figures(),
      [t("Available"), money(answer.available, answer.reserve_currency)],
    ].filter(Boolean);
    this.root.replaceChildren(
      h("dl", {}, rows.map(([term, text]) => [h("dt", {}, term), h("dd", {}, text)])),
      answer.accepted ? h("div", { class: "up mt-1" }, t("Passes every check")) : list(answer.failures.map(failureText)));
  }

  /** The order was stored as rejected: say why, here too. */
  failed(failures) {
    this.root.replaceChildren(h("strong", { class: "down" }, t("Rejected")), list(failures.map(failureText)));
  }
}

const list = (lines) =>
  h("ul", { role: "alert" }, lines.map(([text, values]) => h("li", {}, text, values ? h("div", { class: "values" }, values) : null)));

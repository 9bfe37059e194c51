import { h, icon } from "./dom.js";
import { t } from "./i18n.js";

const ICONS = { good: "check-circle", bad: "exclamation-octagon", warn: "exclamation-triangle", info: "info-circle" };
const MOST = 3;

/** A short message in the corner; ``key`` replaces an earlier toast about the same thing. */
export function toast(text, { tone = "info", detail = "", key = null, seconds = tone === "bad" ? 9 : 5 } = {}) {
  const region = document.getElementById("toasts");
  if (key) region.querySelector(`[data-key="${CSS.escape(key)}"]`)?.remove();
  while (region.children.length >= MOST) region.firstElementChild.remove();
  const node = h("div", { class: `toast toast-${tone} show`, role: tone === "bad" ? "alert" : "status", "data-key": key },
    h("div", { class: "toast-body d-flex gap-2 align-items-start" },
      icon(ICONS[tone], { good: "up", bad: "down" }[tone] ?? ""),
      h("div", { class: "flex-grow-1" }, h("strong", {}, text), detail && h("div", { class: "small text-secondary" }, detail)),
      h("button", { type: "button", class: "btn-close", "aria-label": t("Close"), onclick: () => node.remove() })));
  region.append(node);
  setTimeout(() => node.remove(), seconds * 1000);
}

/** What went wrong with a request, for people. */
export function complain(problem, title = t("That did not work")) {
  if (problem.unknown) {
    toast(t("No answer from the server"), { tone: "bad", key: "problem", detail: t("It is not known whether this was done. Look before you repeat it.") });
    return;
  }
  toast(title, { tone: "bad", detail: problem.message, key: "problem" });
}

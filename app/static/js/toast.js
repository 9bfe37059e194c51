import { h, icon } from "./dom.js";
import { t } from "./i18n.js";

const ICONS = { good: "check-circle", bad: "exclamation-octagon", warn: "exclamation-triangle", info: "info-circle" };
const MOST = 3;
const CONTROLS = "a[href], button, input, select, textarea, summary, label";
const MARGIN = 16;
let moved = [0, 0]; // how far from where the style sheet has them

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
  if (!region.children.length) moved = [0, 0];
  region.append(node);
  keepClear();
  setTimeout(() => node.remove(), seconds * 1000);
}

/** Move the toasts to where they cover nothing that can be pressed; where there is no such place, the least.
    The desk is full of controls and knows better: desk.css has them over the chart. */
function keepClear() {
  const region = document.getElementById("toasts");
  if (!region?.children.length || document.getElementById("desk")) return;
  region.style.translate = "none";
  const boxes = [...region.children].map((node) => node.getBoundingClientRect());
  const left = Math.min(...boxes.map((box) => box.left)), top = Math.min(...boxes.map((box) => box.top));
  const width = Math.max(...boxes.map((box) => box.right)) - left, height = Math.max(...boxes.map((box) => box.bottom)) - top;
  const open = document.querySelector(".modal.show") ?? document;
  const pressed = [...open.querySelectorAll(CONTROLS)].filter((node) => !region.contains(node) && node.checkVisibility())
    .map((node) => [node.getBoundingClientRect(), node.matches(".app-nav *, label") ? 1 : 10]);
  const covered = ([x, y]) => pressed.reduce((sum, [box, weight]) => sum + weight *
    (box.left < left + x + width && left + x < box.right && box.top < top + y + height && top + y < box.bottom), 0);
  const { clientWidth, clientHeight } = document.documentElement;
  const places = top + moved[1] + height < clientHeight ? [moved, [0, 0]] : [[0, 0]];
  for (let y = clientHeight - MARGIN - height; y > MARGIN; y -= MARGIN) {
    for (const x of [MARGIN, clientWidth - MARGIN - width, (clientWidth - width) / 2]) places.push([x - left, y - top]);
  }
  let least = Infinity;
  for (const place of places) {
    const sum = covered(place);
    if (sum < least) [least, moved] = [sum, place];
  }
  region.style.translate = `${moved[0]}px ${moved[1]}px`;
}

for (const event of ["scrollend", "resize"]) addEventListener(event, keepClear);

/** What went wrong with a request, for people. */
export function complain(problem, title = t("That did not work")) {
  if (problem.unknown) {
    toast(t("No answer from the server"), { tone: "bad", key: "problem", detail: t("It is not known whether this was done. Look before you repeat it.") });
    return;
  }
  toast(title, { tone: "bad", detail: problem.message, key: "problem" });
}

// Where there is no room for everything beside each other: one of ticket, chart and positions at a time.

import { $, $$ } from "../dom.js";

const desk = $("#desk");

export function show(view) {
  desk.dataset.view = view;
  for (const button of $$(".desk-views button", desk)) button.setAttribute("aria-pressed", String(button.dataset.view === view));
  window.scrollTo(0, 0);
}

export function start() {
  for (const button of $$(".desk-views button", desk)) button.addEventListener("click", () => show(button.dataset.view));
}

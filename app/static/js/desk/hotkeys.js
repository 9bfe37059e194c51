// Keys of the desk; never while something is being typed, and never with Ctrl, Alt or Meta.

import { $, $$ } from "../dom.js";
import { instruments, mayTrade, setSymbol, state } from "./state.js";
import * as ticket from "./ticket.js";

const typing = (target) => target.closest("input, select, textarea, [contenteditable]");
const busy = () => document.body.classList.contains("modal-open") || $(".offcanvas.show");

function nextSymbol(step) {
  const at = instruments.findIndex((item) => item.symbol === state.symbol);
  setSymbol(instruments[(at + step + instruments.length) % instruments.length].symbol);
}

const keys = {
  b: () => { ticket.setSide("BUY"); ticket.focusAmount(); },
  s: () => { ticket.setSide("SELL"); ticket.focusAmount(); },
  q: () => ticket.focusAmount(),
  "+": () => nextSymbol(1),
  "-": () => nextSymbol(-1),
  "?": () => window.bootstrap.Modal.getOrCreateInstance($("#hotkeys")).show(),
};

export function start() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing || busy()) return;
    if (event.key === "Escape" && typing(event.target)) { event.target.blur(); return; }
    if (typing(event.target)) return;
    const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (act && (mayTrade || event.key === "?" || event.key === "+" || event.key === "-")) { event.preventDefault(); act(); return; }
    const digit = /^[1-9]$/.test(event.key) ? Number(event.key) : 0;
    const tab = $$("#book-tabs [data-bs-toggle=tab]")[digit - 1];
    if (tab) { event.preventDefault(); tab.click(); }
  });
}

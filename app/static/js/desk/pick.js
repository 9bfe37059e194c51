// A click on a price fills the ticket: the field one was in, or the limit.

import { onTick } from "../numbers.js";
import { $, $$ } from "../dom.js";
import { instrument, mayTrade, quote, state, watch } from "./state.js";

const FLASH_MS = 700;
const form = $("#ticket");
const PRICES = ["price", "stop_loss", "take_profit", "trailing_stop.activation_price"];
let target = "price";

function fill(price) {
  if (!mayTrade || !price) return;
  const { type } = form.elements;
  const visible = target !== "price" && !$("#ticket-exits").hidden;
  const field = form.elements.namedItem(visible ? target : "price");
  if (field.name === "price" && type.value === "MARKET") {
    type.value = "LIMIT";
    type.dispatchEvent(new Event("change", { bubbles: true }));
  }
  field.value = onTick(price, instrument().tick_size);
  field.dispatchEvent(new Event("input", { bubbles: true }));
  field.classList.add("picked");
  setTimeout(() => field.classList.remove("picked"), FLASH_MS);
}

export function start() {
  form.addEventListener("focusin", ({ target: field }) => { target = PRICES.includes(field.name) ? field.name : "price"; });
  watch("pick", fill);
  watch("symbol", () => { target = "price"; });
  for (const button of $$("[data-pick]")) {
    button.disabled = !mayTrade;
    button.addEventListener("click", () => {
      target = "price";
      fill(quote(state.symbol)?.[button.dataset.pick]);
    });
  }
}

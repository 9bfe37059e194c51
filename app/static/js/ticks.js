// Ticks of instruments on pages that do not carry them.

import { get } from "./api.js";

let asked = null;

/** The tick of a symbol; undefined for one that is not known. */
export async function tickOf(symbol) {
  asked ??= get("/api/v1/market/instruments").then((answer) => new Map(answer.items.map((item) => [item.symbol, item.tick_size])));
  const known = await asked.catch(() => { asked = null; return new Map(); });
  return known.get(symbol);
}

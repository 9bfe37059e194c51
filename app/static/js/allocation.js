// What a wallet holds, as a ring and a legend.

import { compare, share, sum } from "./decimal.js";
import { empty, h, svg } from "./dom.js";
import * as format from "./format.js";
import { t } from "./i18n.js";

const RADIUS = 40;
const ROUND = 2 * Math.PI * RADIUS;
const SHOWN = 5;

/** Replace the contents of ``root``; ``balances`` are {asset, total, value_usd}. */
export function drawAllocation(root, balances) {
  const priced = balances.filter((item) => item.value_usd && item.value_usd !== "0").sort((a, b) => compare(b.value_usd, a.value_usd));
  const total = sum(priced.map((item) => item.value_usd));
  const rest = priced.slice(SHOWN);
  const parts = priced.slice(0, SHOWN).map((item) => ({ name: item.asset, value: item.value_usd }));
  if (rest.length) parts.push({ name: t("Others"), value: sum(rest.map((item) => item.value_usd)) });
  if (!parts.length) { root.replaceChildren(empty(t("Nothing held"), t("Balances appear when the wallet is funded."), "pie-chart")); return; }
  let turned = 0;
  const arcs = parts.map((part, index) => {
    const percent = share(part.value, total);
    const arc = svg("circle", {
      class: `hue-${index}`, cx: 50, cy: 50, r: RADIUS, fill: "none", "stroke-width": 13, pathLength: ROUND,
      "stroke-dasharray": `${Math.max((ROUND * percent) / 100 - 0.8, 0.2)} ${ROUND}`, "stroke-dashoffset": -(ROUND * turned) / 100,
      transform: "rotate(-90 50 50)",
    });
    turned += percent;
    return arc;
  });
  const legend = parts.map((part, index) => h("li", {}, h("span", { class: `swatch hue-${index}` }), part.name,
    h("span", { class: "num" }, format.usd(part.value)), h("span", { class: "small-caps num" }, format.percent(String(share(part.value, total)), false))));
  root.replaceChildren(h("div", { class: "allocation" },
    svg("svg", { viewBox: "0 0 100 100", role: "img", "aria-label": t("Allocation by asset") }, arcs), h("ul", { class: "legend" }, legend)));
}

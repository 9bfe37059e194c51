// Building elements without HTML strings: text is always text.

const SPRITE = `${document.body.dataset.static}vendor/bootstrap-icons/sprite.svg`;
const SVG = "http://www.w3.org/2000/svg";

/** h("td", {class: "end", onclick: f, "data-id": 1}, "text", node, [more]) */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function icon(name, extra = "") {
  return svg("svg", { class: `icon ${extra}`, "aria-hidden": "true" }, svg("use", { href: `${SPRITE}#${name}` }));
}

/** Set text only when it differs: screen readers and selections are left alone. */
export function setText(element, text) {
  if (element && element.textContent !== text) element.textContent = text;
}

export function empty(title, hint, name = "inbox") {
  return h("div", { class: "empty" }, icon(name), h("strong", {}, title), hint);
}

/** Rows whose cells carry the words of their table's head, for screens too narrow for one. */
export function labelled(body, rows) {
  const heads = $$("th", $(body).closest("table")).map((cell) => cell.textContent);
  for (const row of rows) [...row.children].forEach((cell, index) => { cell.dataset.label = cell.querySelector(".row-actions") ? "" : heads[index]; });
  return rows;
}

export const $ = (selector, within = document) => within.querySelector(selector);
export const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];

// Numbers as people type them. The person's own decimal mark is one; where the other could be grouping, we ask.

import { decimalsOf } from "./decimal.js";

/** "comma": 1.234,56; "point": 1,234.56. */
export const style = document.documentElement.dataset.numbers === "comma" ? "comma" : "point";
export const [mark, group] = style === "comma" ? [",", "."] : [".", ","];

const isGrouped = (parts) => /^[1-9]\d{0,2}$/.test(parts[0]) && parts.slice(1).every((part) => /^\d{3}$/.test(part));

/** What was typed: {value} as the API takes it, {choices} where two readings are possible, {} for no number. */
export function parse(text, { decimalMark = mark, whole = false } = {}) {
  const plain = String(text ?? "").replace(/[\s_\u2019']/g, "");
  const match = /^(-?)(\d*(?:[.,]\d*)*)$/.exec(plain);
  if (!match || !/\d/.test(plain)) return {};
  const [, sign, digits] = match;
  const marks = [...new Set(digits.replace(/\d/g, ""))];
  if (!marks.length) return { value: plain };
  const decimal = (at) => `${sign}${digits.slice(0, at).replace(/[.,]/g, "") || "0"}.${digits.slice(at + 1)}`.replace(/\.$/, "");
  const last = digits.search(/[.,]\d*$/);
  if (marks.length === 2) {
    const parts = digits.slice(0, last).split(/[.,]/);
    const mixed = new Set(digits.slice(0, last).replace(/\d/g, "")).size > 1 || digits.slice(0, last).includes(digits[last]);
    return !mixed && isGrouped(parts) && !whole ? { value: decimal(last) } : {};
  }
  const parts = digits.split(marks[0]);
  const grouped = isGrouped(parts) ? sign + parts.join("") : null;
  if (whole) return grouped === null ? {} : { value: grouped };
  if (parts.length > 2) return grouped === null ? {} : { value: grouped };
  if (marks[0] === decimalMark || grouped === null) return { value: decimal(last) };
  return { choices: [decimal(last), grouped] };
}

/** What was typed, as the API takes it; left as it is where that is not clear, which the API refuses. */
export function typed(text, options) {
  return parse(text, options).value ?? String(text ?? "").trim();
}

/** Raised for a number with two readings; ``errors`` as the API's own, so that forms show it at the field. */
export class Unclear extends Error {
  constructor(errors) {
    super("unclear");
    this.errors = errors;
  }
}

/** The number in each of the inputs, by name. Raises ``Unclear`` naming every one that could be two. */
export function amounts(inputs, options) {
  const errors = [];
  const values = {};
  for (const input of inputs) {
    const { choices } = parse(input.value, options);
    if (choices) errors.push({ field: input.name, input, code: "unclear_number", choices });
    else values[input.name] = typed(input.value, options);
  }
  if (errors.length) throw new Unclear(errors);
  return values;
}

export const amount = (input, options) => amounts([input], options)[input.name];

/** A number of the API as the person would type it, without grouping. */
export const forInput = (text) => (text === null || text === undefined ? "" : String(text).replace(".", mark));

/** A price as it is typed, with all decimals of the tick. */
export function onTick(text, tick) {
  const [whole, fraction = ""] = text.split(".");
  const decimals = decimalsOf(tick);
  return forInput(decimals ? `${whole}.${fraction.padEnd(decimals, "0")}` : whole);
}

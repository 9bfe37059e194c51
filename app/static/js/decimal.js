// Exact decimals from and to strings. Money never passes through a float.

const SCALE = 18n;
const ONE = 10n ** SCALE;

/** Units of 1e-18; null for what is no number. */
export function units(text) {
  const match = /^(-?)(\d*)(?:\.(\d{0,18}))?$/.exec(String(text ?? "").trim());
  if (!match || (!match[2] && !match[3])) return null;
  const value = BigInt(match[2] || "0") * ONE + BigInt((match[3] || "").padEnd(18, "0") || "0");
  return match[1] ? -value : value;
}

export function fromUnits(value) {
  const sign = value < 0n ? "-" : "";
  const digits = (value < 0n ? -value : value).toString().padStart(19, "0");
  const fraction = digits.slice(-18).replace(/0+$/, "");
  return `${sign}${digits.slice(0, -18)}${fraction ? `.${fraction}` : ""}`;
}

export const sum = (texts) => fromUnits(texts.reduce((total, text) => total + (units(text) ?? 0n), 0n));
export const subtract = (a, b) => fromUnits((units(a) ?? 0n) - (units(b) ?? 0n));
export const multiply = (a, b) => fromUnits(((units(a) ?? 0n) * (units(b) ?? 0n)) / ONE);
export const sign = (text) => { const value = units(text) ?? 0n; return value > 0n ? 1 : value < 0n ? -1 : 0; };
export const compare = (a, b) => { const d = (units(a) ?? 0n) - (units(b) ?? 0n); return d > 0n ? 1 : d < 0n ? -1 : 0; };

/** A part of a whole in percent (a display figure), with two decimals. */
export function share(part, whole) {
  const total = units(whole);
  return total ? Number(((units(part) ?? 0n) * 10000n) / total) / 100 : 0;
}

/** The largest multiple of ``step`` that is not above ``text``. */
export function floorTo(text, step) {
  const size = units(step);
  const value = units(text) ?? 0n;
  return size ? fromUnits((value / size) * size) : text;
}

export function decimalsOf(text) {
  const fraction = String(text).split(".")[1] ?? "";
  return fraction.replace(/0+$/, "").length;
}

/** Rounded half to even, as the server rounds money. */
export function round(text, decimals) {
  const match = /^(-?)(\d+)(?:\.(\d+))?$/.exec(String(text ?? ""));
  const fraction = match?.[3] ?? "";
  if (!match || fraction.length <= decimals) return text;
  const kept = BigInt(match[2] + fraction.slice(0, decimals));
  const rest = fraction.slice(decimals);
  const half = "5".padEnd(rest.length, "0");
  const up = rest > half || (rest === half && kept % 2n === 1n);
  const digits = String(kept + (up ? 1n : 0n)).padStart(decimals + 1, "0");
  const cut = digits.length - decimals;
  return match[1] + digits.slice(0, cut) + (decimals ? `.${digits.slice(cut)}` : "");
}

/** The sum of amounts as they are shown, so that who adds them up comes to the same. */
export const sumShown = (texts, decimals) => sum(texts.map((text) => round(text, decimals)));

/** The multiples of ``step`` on both sides of what lies between two; null for one that is not above zero. */
export function neighbours(text, step) {
  const below = floorTo(text, step);
  return [sign(below) > 0 ? below : null, fromUnits(units(below) + units(step))];
}

/** The multiple of ``step`` that is nearest. */
export function onStep(text, step) {
  const size = units(step);
  const value = units(round(text, 18));
  if (!size || value === null) return text;
  const rest = ((value % size) + size) % size;
  return fromUnits(value - rest + (rest * 2n >= size ? size : 0n));
}

export { typed } from "./numbers.js";

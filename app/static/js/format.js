// Numbers and dates as the reader's locale writes them, without losing a digit.

import { locale, t } from "./i18n.js";
import { decimalsOf, sign } from "./decimal.js";

const whole = new Intl.NumberFormat(locale, { maximumFractionDigits: 0 });
const point = new Intl.NumberFormat(locale).formatToParts(1.5).find((part) => part.type === "decimal").value;
const moment = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "medium" });
const clock = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const day = new Intl.DateTimeFormat(locale, { day: "2-digit", month: "short" });
const EMPTY = "–";

/** A decimal string with grouping; at least ``min`` and at most ``max`` decimals (cut, never rounded up). */
export function number(text, { min = 0, max = 18, plus = false } = {}) {
  const match = /^(-?)(\d+)(?:\.(\d+))?$/.exec(String(text ?? ""));
  if (!match) return EMPTY;
  const fraction = (match[3] ?? "").slice(0, max).replace(/0+$/, "").padEnd(min, "0");
  const nothing = /^0*$/.test(match[2] + fraction);
  const prefix = match[1] && !nothing ? "-" : plus && !nothing ? "+" : "";
  return prefix + whole.format(BigInt(match[2])) + (fraction ? point + fraction : "");
}

const CASH = new Set(["USD", "USDT", "USDC", "PEN", "EUR", "GBP"]);

export const isCash = (currency) => CASH.has(currency);

/** An amount with its currency, all digits kept, two decimals at least for cash. */
export function money(text, currency, options = {}) {
  if (text === null || text === undefined) return EMPTY;
  const shown = number(text, { min: CASH.has(currency) ? 2 : 0, ...options });
  return currency ? `${shown} ${currency}` : shown;
}

/** Profit or loss: a sign always, two decimals. */
export const profit = (text, currency) => money(text, currency, { min: 2, max: 2, plus: true });
export const usd = (text) => money(text, "USD", { min: 2, max: 2 });
export const percent = (text, plus = true) =>
  text === null || text === undefined ? EMPTY : `${number(text, { min: 2, max: 2, plus })} %`;
/** A price with the instrument's decimals. */
export const price = (text, tick) =>
  text === null || text === undefined ? EMPTY : number(text, { min: tick ? decimalsOf(tick) : 0 });
export const tone = (text) => ["down", "", "up"][sign(text) + 1];

export const dateTime = (iso) => (iso ? moment.format(new Date(iso)) : EMPTY);
export const time = (iso) => (iso ? clock.format(new Date(iso)) : EMPTY);
/** The time today, day and time before. */
export function when(iso) {
  if (!iso) return EMPTY;
  const date = new Date(iso);
  return date.toDateString() === new Date().toDateString() ? clock.format(date) : `${day.format(date)} ${clock.format(date)}`;
}

export function duration(minutes) {
  if (minutes === null || minutes === undefined) return EMPTY;
  const hours = Math.floor(minutes / 60);
  if (hours >= 48) return t("%(n)s d", { n: Math.floor(hours / 24) });
  return hours ? t("%(h)s h %(m)s min", { h: hours, m: minutes % 60 }) : t("%(n)s min", { n: minutes });
}

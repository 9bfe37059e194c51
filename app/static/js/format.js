// Numbers as the reader has chosen and dates as the locale writes them; what is shortened is rounded, never cut.

import { now } from "./clock.js";
import { locale, t } from "./i18n.js";
import { decimalsOf, onStep, round, sign } from "./decimal.js";
import { group, mark } from "./numbers.js";

const grouped = (digits) => digits.replace(/\B(?=(\d{3})+$)/g, group);
const clock = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const dayMonth = new Intl.DateTimeFormat(locale, { day: "2-digit", month: "short" });
const dayAndYear = new Intl.DateTimeFormat(locale, { day: "2-digit", month: "short", year: "numeric" });
const EMPTY = "–";

/** A decimal string with grouping; at least ``min`` decimals, and rounded to at most ``max``. */
export function number(text, { min = 0, max = 18, plus = false } = {}) {
  const match = /^(-?)(\d+)(?:\.(\d+))?$/.exec(round(String(text ?? ""), max));
  if (!match) return EMPTY;
  const fraction = (match[3] ?? "").replace(/0+$/, "").padEnd(min, "0");
  const nothing = /^0*$/.test(match[2] + fraction);
  const prefix = match[1] && !nothing ? "-" : plus && !nothing ? "+" : "";
  return prefix + grouped(BigInt(match[2]).toString()) + (fraction ? mark + fraction : "");
}

const FIAT = new Set(["USD", "PEN", "EUR", "GBP"]);
const CASH = new Set([...FIAT, "USDT", "USDC"]);

export const isCash = (currency) => CASH.has(currency);

/** An amount with its currency: two decimals at least for cash, and none beyond what the currency has. */
export function money(text, currency, options = {}) {
  if (text === null || text === undefined) return EMPTY;
  const shown = number(text, { min: CASH.has(currency) ? 2 : 0, max: FIAT.has(currency) ? 2 : 8, ...options });
  return currency ? `${shown} ${currency}` : shown;
}

/** What is held or worth: cash to the cent. */
export const balance = (text, currency) => money(text, currency, CASH.has(currency) ? { max: 2 } : {});

/** Profit or loss: a sign always, two decimals. */
export const profit = (text, currency) => money(text, currency, { min: 2, max: 2, plus: true });
export const usd = (text) => money(text, "USD", { min: 2, max: 2 });
export const percent = (text, plus = true) =>
  text === null || text === undefined ? EMPTY : `${number(text, { min: 2, max: 2, plus })} %`;
/** A price on the instrument's tick: an average or a trail that lies between two is shown at the nearer. */
export function price(text, tick) {
  if (text === null || text === undefined) return EMPTY;
  return tick ? number(onStep(text, tick), { min: decimalsOf(tick) }) : number(text, { max: 8 });
}
export const tone = (text) => ["down", "", "up"][sign(text) + 1];

/** Day and time; the year too where it is another one. */
export function dateTime(iso) {
  if (!iso) return EMPTY;
  const date = new Date(iso);
  const thisYear = date.getFullYear() === new Date(now()).getFullYear();
  return `${(thisYear ? dayMonth : dayAndYear).format(date)} ${clock.format(date)}`;
}
const exact = new Intl.DateTimeFormat(locale, { day: "2-digit", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hour12: false });
/** To the millisecond, where the order of things matters. */
export const precise = (iso) => (iso ? exact.format(new Date(iso)) : EMPTY);
export const time = (iso) => (iso ? clock.format(new Date(iso)) : EMPTY);
/** The time today, day and time before. */
export const when = (iso) => (iso && new Date(iso).toDateString() === new Date(now()).toDateString() ? time(iso) : dateTime(iso));

/** A calendar day, YYYY-MM-DD, which is the same day wherever it is read. */
export const day = (text) => (text ? dayAndYear.format(new Date(`${text}T00:00:00`)) : EMPTY);

export function duration(minutes) {
  if (minutes === null || minutes === undefined) return EMPTY;
  const hours = Math.floor(minutes / 60);
  if (hours >= 48) return t("%(n)s d", { n: Math.floor(hours / 24) });
  return hours ? t("%(h)s h %(m)s min", { h: hours, m: minutes % 60 }) : t("%(n)s min", { n: minutes });
}

// What was refused, in the reader's words: checks of pre-trade risk with their values, and wrong fields.

import { neighbours } from "./decimal.js";
import { number } from "./format.js";
import { t } from "./i18n.js";

const TEXTS = {
  INSUFFICIENT_BALANCE: t("Not enough balance"), SYMBOL_BLOCKED: t("The instrument is blocked for this client"),
  SYMBOL_NOT_ALLOWED: t("The instrument is not allowed in this wallet"), OUTSIDE_TRADING_HOURS: t("Outside the client's trading hours"),
  MISSING_REFERENCE_PRICE: t("There is no price for the instrument"), STALE_QUOTE: t("The last quote is too old"),
  NOTIONAL_LIMIT_EXCEEDED: t("Above the client's limit of value per order"), ORDER_SIZE_LIMIT_EXCEEDED: t("Above the client's limit of quantity per order"),
  POSITION_LIMIT_EXCEEDED: t("Above the wallet's limit per position"), EXPOSURE_LIMIT_EXCEEDED: t("Above the wallet's limit of exposure"),
  MAX_OPEN_POSITIONS: t("Too many open positions"), DAILY_LOSS_LIMIT: t("The day's loss limit is reached"),
  MAX_DRAWDOWN: t("The maximum drawdown is reached"), MARKET_CLOSED: t("The market is closed"),
  WALLET_PAUSED: t("The wallet is paused"), WALLET_SUSPENDED: t("The wallet is suspended"), CLIENT_INACTIVE: t("The client is not active"),
  PRICE_OUT_OF_BAND: t("The price is too far from the market"), REDUCE_ONLY: t("It would do more than reduce the position"),
  HALTED: t("Trading is halted"), RATE_LIMITED: t("Too many orders per second"), INVALID_QTY: t("The quantity is not valid"),
};
const VALUES = {
  required: t("needed"), available: t("available"), limit: t("limit"), limit_usd: t("limit (USD)"), notional_usd: t("value (USD)"),
  position_usd: t("position (USD)"), exposure_usd: t("exposure (USD)"), qty: t("quantity"), position_qty: t("position"),
  price: t("price"), low: t("lowest"), high: t("highest"), age_seconds: t("age (s)"), limit_seconds: t("limit (s)"),
  currency: t("currency"), open: t("open"), symbol: t("instrument"), loss_usd: t("loss (USD)"),
  drawdown_percent: t("drawdown (%)"), limit_percent: t("limit (%)"), status: t("status"),
};

/** [sentence, values] of one failing check. */
export function failureText(failure) {
  const values = Object.entries(failure.values ?? {}).map(([name, value]) => {
    const shown = number(value);
    return `${VALUES[name] ?? name}: ${shown === "–" ? value : shown}`;
  });
  return [TEXTS[failure.code] ?? failure.message, values.join(" · ")];
}

const FIELDS = {
  required: t("Is needed."), invalid_amount: t("Must be a number."), amount_out_of_range: t("Is out of range; it must be above zero."),
  precision: t("Has too many decimals."), lot_size: t("Must be a multiple of the lot."), min_qty: t("Is below the smallest quantity."),
  max_qty: t("Is above the largest quantity."), tick_size: t("Must be a multiple of the tick."), min_notional: t("The order's value is too small."),
  PRICE_REQUIRED: t("A limit order needs a price."), PRICE_NOT_ALLOWED: t("A market order has no price."), MISSING_REFERENCE_PRICE: t("There is no price for the instrument"),
  invalid_choice: t("Is not one of the choices."), invalid_email: t("Is no e-mail address."), invalid_code: t("Letters, digits, points and dashes alone."),
  unknown_asset: t("Is no known asset."), unknown_instrument: t("Is no known instrument."), exceeds_position: t("Is more than the position."),
  below_cum_qty: t("Is below what is filled already."), protection_on_sell: t("Exits go with the order that opens a position."),
  stop_wrong_side: t("The stop must be below the market."), target_wrong_side: t("The target must be above the market."),
  trail_too_wide: t("The distance is too wide."), market_buy_only: t("An amount of money is for market buys."),
  post_only_market: t("Not possible on a market order."), post_only_immediate: t("Contradicts an immediate order."),
  crossed: t("The bid must be below the ask."), jump: t("Too far from the last price."), string_too_short: t("Is too short."), string_too_long: t("Is too long."),
};

const STEPS = { tick_size: t("Must be a multiple of the tick of %(step)s; nearest: %(near)s."), lot_size: t("Must be a multiple of the lot of %(step)s; nearest: %(near)s.") };

/** What is wrong with one field; off the tick or the lot of ``instrument`` with the nearest that are not. */
export function fieldText(error, instrument = null) {
  const step = instrument?.[error.code];
  if (STEPS[error.code] && step && error.value) {
    const near = neighbours(error.value, step).filter(Boolean).map((value) => number(value)).join(t(" or "));
    return fill(STEPS[error.code], { step: number(step), near });
  }
  return FIELDS[error.code] ?? error.message;
}

const fill = (text, values) => text.replace(/%\((\w+)\)s/g, (whole, name) => values[name] ?? whole);

/** What an order would change of what is there already, as the dry run says it. */
export function changeText({ code, values }, price) {
  const level = (value) => (value === null ? t("none") : price(value));
  const percent = (value) => (value === null ? t("none") : `${number(value)} %`);
  const trail = (value) => (value === null ? t("none") : `${number(value.value)}${{ percent: " %", bps: " bps" }[value.type] ?? ""}`);
  const said = { from: values.from, to: values.to, qty: number(values.position_qty ?? "0") };
  switch (code) {
    case "STOP_LOSS_CHANGES":
      if (values.from === null) return t("The whole position of %(qty)s gets a stop at %(to)s.", { ...said, to: level(values.to) });
      return t("The stop of the whole position moves from %(from)s to %(to)s.", { from: level(values.from), to: level(values.to) });
    case "TAKE_PROFIT_CHANGES":
      if (values.from === null) return t("The whole position of %(qty)s gets a target at %(to)s.", { ...said, to: level(values.to) });
      return t("The target of the whole position moves from %(from)s to %(to)s.", { from: level(values.from), to: level(values.to) });
    case "TRAILING_STOP_CHANGES":
      return t("The trailing stop of the whole position changes from %(from)s to %(to)s and starts again from the market.", { from: trail(values.from), to: trail(values.to) });
    case "BREAK_EVEN_CHANGES":
      return t("The break-even of the whole position changes from %(from)s to %(to)s.", { from: percent(values.from), to: percent(values.to) });
    case "DEFAULT_STOP_LOSS":
      return t("The wallet's default stop applies: %(percent)s below the entry.", { percent: percent(values.percent) });
    case "DEFAULT_TAKE_PROFIT":
      return t("The wallet's default target applies: %(percent)s above the entry.", { percent: percent(values.percent) });
    default:
      return code;
  }
}

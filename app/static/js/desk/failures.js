// Reasons of pre-trade risk, in the reader's words, with the values that decided.

import { number } from "../format.js";
import { t } from "../i18n.js";

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

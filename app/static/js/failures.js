// What was refused, in the reader's words: checks of pre-trade risk with their values, wrong fields, whole requests.

import { neighbours } from "./decimal.js";
import { dateTime, number } from "./format.js";
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
  KYC_REJECTED: t("The verification was rejected."),
  PRICE_OUT_OF_BAND: t("The price is too far from the market"), REDUCE_ONLY: t("It would do more than reduce the position"),
  POST_ONLY_WOULD_CROSS: t("It would have executed at once"), VENUE_REJECTED: t("The venue refused it"), BUSINESS_REJECT: t("The venue could not read the message"),
  VENUE_DOES_NOT_ANSWER: t("The venue does not answer"), HALTED: t("Trading is halted"), RATE_LIMITED: t("Too many orders per second"), INVALID_QTY: t("The quantity is not valid"),
  insufficient_funds: t("More than may be withdrawn"), account_not_usable: t("The bank account is not confirmed, or too new"),
};
const VALUES = {
  required: t("needed"), available: t("available"), limit: t("limit"), limit_usd: t("limit (USD)"), notional_usd: t("value (USD)"),
  position_usd: t("position (USD)"), exposure_usd: t("exposure (USD)"), qty: t("quantity"), position_qty: t("position"),
  price: t("price"), low: t("lowest"), high: t("highest"), age_seconds: t("age (s)"), limit_seconds: t("limit (s)"),
  currency: t("currency"), open: t("open"), symbol: t("instrument"), loss_usd: t("loss (USD)"),
  drawdown_percent: t("drawdown (%)"), limit_percent: t("limit (%)"), status: t("status"),
  withdrawable: t("may be withdrawn"), account_status: t("status"), usable_from: t("from"),
};
const TIMES = new Set(["usable_from"]);

/** [sentence, values] of one failing check. */
export function failureText(failure) {
  const values = Object.entries(failure.values ?? {}).map(([name, value]) => {
    const shown = TIMES.has(name) ? dateTime(value) : number(value);
    return `${VALUES[name] ?? name}: ${shown === "–" ? value : shown}`;
  });
  return [TEXTS[failure.code] ?? failure.message, values.join(" · ")];
}

/** Why an order was rejected, short: for a cell of a list. */
export const rejection = (order) => (order.reject_code ? TEXTS[order.reject_code] ?? order.reject_code : "");

/** The same with the values that decided it, and whatever else fails: for a toast or a page. */
export function rejectionText(order) {
  const failures = order.reject_values ?? [];
  if (!failures.length) return [rejection(order), TEXTS[order.reject_code] && order.reject_code !== "VENUE_REJECTED" ? "" : order.reject_reason].filter(Boolean).join(": ");
  return failures.map((failure) => failureText(failure).filter(Boolean).join(" · ")).join("; ");
}

const FIELDS = {
  required: t("Is needed."), invalid_amount: t("Must be a number."), amount_out_of_range: t("Is out of range; it must be above zero."),
  precision: t("Has too many decimals."), lot_size: t("Must be a multiple of the lot."), min_qty: t("Is below the smallest quantity."),
  max_qty: t("Is above the largest quantity."), tick_size: t("Must be a multiple of the tick."), min_notional: t("The order's value is too small."),
  PRICE_REQUIRED: t("A limit order needs a price."), PRICE_NOT_ALLOWED: t("A market order has no price."), MISSING_REFERENCE_PRICE: t("There is no price for the instrument"),
  invalid_type: t("Is not of the kind that is needed."), invalid_number: t("Must be a whole number."), out_of_range: t("Is out of range."),
  too_few: t("Has too few members."), too_many: t("Has too many members."), invalid_characters: t("Has characters that are not allowed here."),
  invisible: t("Must show something: a letter or a digit."), invalid_id: t("Is no id."), invalid_time: t("Must be a date and time."), reversed_range: t("Ends before it begins."),
  unknown_field: t("Is not known here."), invalid_qty: t("Give either a quantity or an amount."), idempotency_required: t("Could not be repeated safely; load the page again."),
  code_taken: t("Another client has this code."), email_taken: t("Somebody else has this address."), invalid_name: t("Enter a name of 1 to 200 characters."),
  unknown_trader: t("Is no trader."), client_of_client: t("Choose the client this user speaks for."), role_of_client: t("Cannot be changed for a user of a client."),
  invalid_hours: t("Write it as 09:00-17:30, in a known time zone."), hours_need_zone: t("Hours and time zone go together."), spread: t("Bid and ask lie too far apart."),
  non_positive_price: t("Must be above zero."), needs_confirmation: t("Has to be confirmed."), wrong_password: t("Is wrong."), wrong_code: t("Is wrong or was used already."),
  invalid_choice: t("Is not one of the choices."), invalid_email: t("Is no e-mail address."), invalid_code: t("Letters, digits, points and dashes alone."),
  unknown_asset: t("Is no known asset."), method_not_available: t("Is not set up here."), unknown_proof: t("Is no payment proof that is free."), unknown_instrument: t("Is no known instrument."), exceeds_position: t("Is more than the position."),
  below_cum_qty: t("Is below what is filled already."), protection_on_sell: t("Exits go with the order that opens a position."),
  stop_wrong_side: t("The stop must be below the market."), target_wrong_side: t("The target must be above the market."),
  trail_too_wide: t("The distance is too wide."), trail_too_narrow: t("The distance is less than one tick."), market_buy_only: t("An amount of money is for market buys."),
  post_only_market: t("Not possible on a market order."), post_only_immediate: t("Contradicts an immediate order."),
  crossed: t("The bid must be below the ask."), jump: t("Too far from the last price."), string_too_short: t("Is too short."), string_too_long: t("Is too long."),
  unknown_currency: t("Is no currency of banks here."), unknown_account: t("Is no account of the client."), currency_mismatch: t("Is not the account's currency."),
  unknown_document: t("Is no proof of a payment that is free."),
  identity_taken: t("Another client has this document."), identity_format: t("Is not as such documents are numbered."), identity_check_digit: t("The check digit is wrong; compare it with the document."),
  identity_country: t("Choose the country that issued it."), identity_unsuitable: t("A company has a RUC, a person another document."), unknown_country: t("Is no country."), invalid_date: t("Must be a date."),
  birth_in_future: t("Lies in the future."), birth_too_early: t("Lies too far back."), under_age: t("Clients are 18 or older."), persons_only: t("Is for persons alone."), name_required: t("Enter a name, or given names and first surname."),
  account_format: t("Does not have the form of such a number."), account_check_digit: t("Has a wrong check digit: look for a typing mistake."), share_out_of_range: t("Must be above 25 percent, and 100 at most together."),
  invalid_filename: t("Give the file a plain name."), damaged_file: t("The file is damaged, or not complete."), too_many_pixels: t("The picture has too many pixels."), invalid_csv: t("Cannot be read: the first row names the columns, and code is one of them."), too_many_rows: t("Has too many rows at once."),
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
      if (values.from === null) return t("The whole position gets a stop at %(to)s: the %(qty)s held now and what this order buys.", { ...said, to: level(values.to) });
      return t("The stop of the whole position moves from %(from)s to %(to)s.", { from: level(values.from), to: level(values.to) });
    case "TAKE_PROFIT_CHANGES":
      if (values.from === null) return t("The whole position gets a target at %(to)s: the %(qty)s held now and what this order buys.", { ...said, to: level(values.to) });
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

// why the gate is closed, with the values of each reason
const REASONS = {
  client_blocked: t("The firm has blocked this client."), client_inactive: t("The client is not active"),
  kyc_required: t("The client must be verified first."), kyc_pending: t("The verification is not decided yet."),
  kyc_expired: t("The verification has expired and must be renewed."), kyc_rejected: t("The verification was rejected."),
  value_unknown: t("There is no price at the moment to value it in USD; try again later."),
  limit_each: t("More than %(limit_usd)s USD at a time."),
  limit_day: t("More than %(limit_usd)s USD within 24 hours; %(left_usd)s USD are left."),
  limit_month: t("More than %(limit_usd)s USD within 30 days; %(left_usd)s USD are left."),
};

/** One reason why the gate is closed, and the level that would open it. */
export function reasonText({ code, message, remedy, values }) {
  const shown = Object.fromEntries(Object.entries(values ?? {}).map(([name, value]) => [name, name.endsWith("_usd") ? number(value) : value]));
  const text = REASONS[code] ? fill(REASONS[code], shown) : message;
  return code.startsWith("limit_") && remedy === "verify" ? `${text} ${t("Verification for level %(level)s would allow it.", { level: values.level })}` : text;
}

const PROBLEMS = {
  gate_closed: t("The client may not do this now."), client_inactive: t("The client is not active"), kyc_rejected: t("The verification was rejected."), kyc_level_skipped: t("This level comes after another one."),
  already_verified: t("The client is verified for this already."), approval_pending: t("A proposal about it waits for a second person."),
  unreachable: t("The server could not be reached."), unauthenticated: t("Please sign in again."), forbidden: t("You may not do this."),
  session_required: t("Only a person who has signed in may do this."), csrf: t("The page is too old; load it again."), password_change_required: t("Choose a password of your own first."),
  totp_required: t("Set up the second step of signing in first."), proof_required: t("Prove again who you are."), not_invitable: t("This user is disabled or has signed in already."),
  firm_only: t("Only the firm may see this."), stopped_by_firm: t("The firm has stopped the wallet; its management lifts that."), may_not_act_for_clients: t("You may not act for clients."),
  not_found: t("It does not exist any more, or is not yours."), no_quote: t("There is no price for the instrument"), rate_limited: t("Too many requests; wait a moment."),
  internal_error: t("Something went wrong on our side."), unavailable: t("Temporarily unavailable; try again in a moment. Nothing was stored."),
  outcome_unknown: t("It is not known whether this was done. Look before you send it again."), engine_not_leading: t("No engine leads at the moment."), engine_not_listening: t("No engine listens at the moment."),
  DUPLICATE_ORDER: t("This was sent before with other values. Look at the orders before you send it again."), too_late: t("Too late: it is finished already."), in_progress: t("It is still being done; wait a moment."),
  conflict: t("It contradicts the present state."), unchanged: t("It is so already."), code_taken: t("Another client has this code."), email_taken: t("Somebody else has this address."),
  identity_taken: t("Another client has this document."), client_blocked: t("The firm has blocked the client."), companies_only: t("Is for companies alone."), document_in_use: t("The document proves something and stays."), unsupported_document: t("Send a JPEG, a PNG or a PDF, under a name with one extension."),
  last_master: t("The firm keeps at least one active Master."), own_account: t("Nobody changes their own role or disables themselves."), stale_version: t("Somebody else has changed it meanwhile; load the page again."),
  too_many_records: t("Too many records for one file; narrow the filters."), month_not_over: t("The month is not over yet."), approval_pending: t("A proposal about it waits for a decision."), own_proposal: t("Nobody decides on what they proposed, or on what is about them."), already_decided: t("It has been decided already."),
  already_voted: t("You have decided already; it needs another person."), approval_expired: t("The proposal has expired."), content_changed: t("It has changed meanwhile; load the page again."),
  not_in_production: t("Not in production."), feed_not_settable: t("The price feed takes no quotes by hand."), feed_not_running: t("The price feed does not run."),
  account_known: t("The client has this account already."), account_in_use: t("A withdrawal to this account is not finished."),
  account_not_usable: t("The bank account is not confirmed, or too new."), insufficient_funds: t("That is more than may be withdrawn."),
  wrong_status: t("Somebody was faster; load the page again."), payer_not_independent: t("Who asked for it or agreed to it does not pay it."),
  reference_taken: t("Another withdrawal was paid with this reference."),
  gate_closed: t("This is not allowed now."), wrong_amount: t("Another amount came in than was declared."),
  movement_taken: t("The bank movement has been matched to another deposit."), not_a_transfer: t("It is no bank transfer."),
  too_large: t("Too large"), idempotency_key_reused: t("This was sent before with other values. Look at the orders before you send it again."),
};

/** A whole request's refusal in the reader's words; the fields' own where it is about fields. */
export function problemText(body) {
  if (body.reasons?.length) return body.reasons.map(reasonText).join(" ");
  if (PROBLEMS[body.code]) return PROBLEMS[body.code];
  const errors = body.errors ?? [];
  return errors.length ? [...new Set(errors.map((error) => fieldText(error)))].join(" ") : body.detail || body.title || PROBLEMS.unreachable;
}

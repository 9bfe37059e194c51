// The words for codes, and the small marks that carry them.

import { h } from "./dom.js";
import { t } from "./i18n.js";

const names = {
  NEW: t("New"), PENDING_SEND: t("Sending"), SENT: t("Sent"), OPEN: t("Open"),
  PARTIALLY_FILLED: t("Partially filled"), FILLED: t("Filled"), PENDING_CANCEL: t("Canceling"),
  CANCELED: t("Canceled"), PENDING_REPLACE: t("Amending"), REJECTED: t("Rejected"), EXPIRED: t("Expired"),
  FAILED: t("Failed"), UNKNOWN: t("Unknown"), OPENING: t("Opening"), CLOSING: t("Closing"), CLOSED: t("Closed"),
  BUY: t("Buy"), SELL: t("Sell"), LONG: t("Long"), SHORT: t("Short"), MARKET: t("Market"), LIMIT: t("Limit"),
  GTC: t("Until canceled"), DAY: t("Day"), IOC: t("Immediate or cancel"), FOK: t("Fill or kill"),
  active: t("Enabled"), paused: t("Paused"), suspended: t("Suspended"),
  take_profit: t("Take profit"), stop_loss: t("Stop loss"), trailing_stop: t("Trailing stop"),
  break_even: t("Break-even"), manual: t("Manual"), ai_signal: t("Signal"),
  maker: t("Maker"), taker: t("Taker"), web: t("Web"), api: t("API"), engine: t("Engine"),
  deposit: t("Deposit"), hold: t("Hold"), release: t("Release"), trade: t("Execution"), reversal: t("Reversal"),
  available: t("Available"), held: t("Held"), fees: t("Fees"), clearing: t("Clearing"), external: t("External"),
  simulated: t("Simulated"), replay: t("Recording"), house: t("House"), rounding: t("Rounding"), receivable: t("Receivable"),
  connecting: t("Connecting"), healthy: t("Healthy"), degraded: t("Degraded"), down: t("Down"), running: t("Running"), stopped: t("Stopped"),
  failed: t("Failed"), starting: t("Starting"), finished: t("Finished"), live: t("Live"),
  parked: t("Parked"), retrying: t("Waits for the engine"), resolved: t("Resolved"), stale: t("Stale"),
  pending_review: t("In review"), approved: t("Approved"), rejected: t("Rejected"),
  removed: t("Removed"), waiting: t("Waiting"), savings: t("Savings"), checking: t("Checking"), withdrawal: t("Withdrawal"), tax: t("Tax"),
  "withdrawal.created": t("Withdrawal asked for"), "withdrawal.approved": t("Withdrawal approved"), "withdrawal.processing": t("Withdrawal is being paid"),
  "withdrawal.completed": t("Withdrawal paid"), "withdrawal.rejected": t("Withdrawal rejected"), "withdrawal.canceled": t("Withdrawal canceled"),
  "withdrawal.failed": t("Withdrawal failed"), "client.bank_account_added": t("Bank account added"), "client.bank_account_confirmed": t("Bank account confirmed"),
  "client.bank_account_rejected": t("Bank account rejected"), "client.bank_account_removed": t("Bank account removed"), "client.bank_account_updated": t("Bank account changed"),
  "order.amended": t("Amended"), "position.opened": t("Opened"), "position.updated": t("Updated"),
  "position.closed": t("Closed"), "position.protection": t("Protection changed"), "wallet.created": t("Wallet opened"),
  "wallet.balance": t("Balance changed"), "wallet.active": t("Wallet resumed"), "wallet.paused": t("Wallet paused"),
  "wallet.suspended": t("Wallet suspended"), "alert.risk": t("Limit reached"), "wallet.updated": t("Wallet changed"), "execution.created": t("Execution"),
  "client.limit_set": t("Client limit set"), "client.limit_remove": t("Client limit lifted"),
  "kyc.started": t("Verification begun"), "kyc.pending": t("Verification waits"), "kyc.approved": t("Verified"),
  "kyc.rejected": t("Verification rejected"), "kyc.expired": t("Verification expired"),
  "client.created": t("Client created"), "client.updated": t("Client changed"),
  pending: t("Pending"), processing: t("Processing"), completed: t("Completed"), canceled: t("Canceled"),
  card: t("Card"), bank_transfer: t("Bank transfer"), mock: t("Sandbox"), refund: t("Refund"),
  "deposit.created": t("Deposit declared"), "deposit.updated": t("Deposit changed"), "deposit.pending": t("Deposit waits to be matched"),
  "deposit.processing": t("Deposit on its way"), "deposit.completed": t("Deposit credited"), "deposit.failed": t("Deposit failed"),
  "deposit.canceled": t("Deposit canceled"), "deposit.attempt_failed": t("Payment declined"), "deposit.refunded": t("Deposit refunded"),
  "deposit.disputed": t("Deposit disputed"), "deposit.dispute_taken": t("Disputed money taken back"),
  "deposit.dispute_returned": t("Disputed money returned"), "deposit.dispute_won": t("Dispute won"), "deposit.dispute_lost": t("Dispute lost"),
  "alert.deposit": t("Deposit needs attention"),
  wrong_amount: t("Another amount"), wrong_currency: t("Another currency"), wrong_reference: t("Another payment page"),
  wrong_client: t("Another client"), wrong_wallet: t("Another wallet"), wrong_mode: t("Test money, or real money on a test server"),
  unknown_deposit: t("No deposit of ours"), unknown_payment: t("No payment of ours"), unreadable: t("Unreadable report"),
  client_owes: t("The client owes"), payment_disputed: t("Payment disputed"),
};

// of the first chart of accounts; what a firm names itself stands as it is
const accounts = {
  "Funds outside the house": t("Funds outside the house"), "Receivables from clients": t("Receivables from clients"),
  "Clearing with venues": t("Clearing with venues"), "Clients: available": t("Clients: available"),
  "Clients: held for orders": t("Clients: held for orders"), "Rounding differences": t("Rounding differences"),
  "Trading fees": t("Trading fees"), "Taxes collected": t("Taxes collected"),
};

const TONES = {
  FILLED: "good", OPEN: "info", PARTIALLY_FILLED: "info", NEW: "warn", PENDING_SEND: "warn", SENT: "warn",
  PENDING_CANCEL: "warn", PENDING_REPLACE: "warn", REJECTED: "bad", FAILED: "bad", UNKNOWN: "bad",
  OPENING: "warn", CLOSING: "warn", active: "good", paused: "warn", suspended: "bad",
  healthy: "good", running: "good", live: "good", finished: "info", degraded: "warn", stale: "warn", starting: "warn", down: "bad",
  pending_review: "warn", approved: "info", processing: "warn", completed: "good", rejected: "bad",
  pending: "warn",
  failed: "bad", parked: "bad", retrying: "warn", resolved: "good",
};
const LIVE = new Set(["NEW", "PENDING_SEND", "SENT", "OPEN", "PARTIALLY_FILLED", "PENDING_REPLACE", "PENDING_CANCEL", "UNKNOWN"]);

export const label = (code) => names[code] ?? String(code ?? "–").replaceAll("_", " ");
export const accountName = (name) => accounts[name] ?? name;
export const isLive = (order) => LIVE.has(order.status);
export const isAmendable = (order) => ["NEW", "OPEN", "PARTIALLY_FILLED"].includes(order.status);
export const tag = (code, tone = TONES[code] ?? "") =>
  h("span", { class: `tag${tone ? ` tag-${tone}` : ""}`, "data-status": code }, label(code));
const SIDES = { BUY: t("buy"), SELL: t("sell") }; // what an order is; its button says what it does
const capital = (word) => word[0].toUpperCase() + word.slice(1);
export const sideName = (code) => (SIDES[code] ? capital(SIDES[code]) : label(code));
export const side = (code) => h("span", { class: `side ${code === "BUY" || code === "LONG" ? "up" : "down"}` }, sideName(code));
export const shortId = (id) => (id ? id.slice(-8) : "–");

/** The sentence for an event's type: "order.partially_filled" → Order: partially filled. */
export function eventLabel(type) {
  if (names[type]) return names[type];
  const [family, what] = type.split(".");
  return family === "order" ? t("Order: %(status)s", { status: label(what.toUpperCase()) }) : type;
}

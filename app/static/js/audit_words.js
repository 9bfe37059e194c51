// What was done, and to what, in the reader's words.

import { t } from "./i18n.js";

const ACTIONS = {
  "client.create": t("Client registered"), "client.update": t("Client changed"), "client.block": t("Client blocked"), "client.unblock": t("Client unblocked"),
  "client.related_persons": t("Those behind a company named"), "document.add": t("Document added"), "document.remove": t("Document removed"), "document.read": t("Document read"),
  "client.limit_set": t("Client limit set"), "client.limit_remove": t("Client limit lifted"),
  "user.create": t("User created"), "user.update": t("User changed"), "user.disable": t("User disabled"),
  "user.sign_in": t("Signed in"), "user.sign_in_failed": t("Sign-in failed"), "user.sign_out": t("Signed out"),
  "user.session_end": t("Session ended"), "user.sessions_end": t("All sessions ended"),
  "user.password_change": t("Password changed"), "user.password_reset": t("One-time password given"),
  "user.invite": t("Invitation mailed"), "user.password_chosen": t("Password chosen by a mailed link"), "user.password_forgotten": t("Link for a forgotten password mailed"),
  "user.totp_on": t("Second step turned on"), "user.totp_off": t("Second step taken away"), "user.proof": t("Proved again who they are"),
  "user.email_asked": t("Another mail address asked for"), "user.email_change": t("Mail address changed"),
  "mail.send_again": t("Mail tried again"),
  "key.create": t("API key created"), "key.revoke": t("API key revoked"), "key.rotate": t("API key rotated"),
  "wallet.create": t("Wallet opened"), "wallet.update": t("Wallet changed"), "wallet.active": t("Wallet resumed"),
  "wallet.paused": t("Wallet paused"), "wallet.suspended": t("Wallet suspended"),
  "quote.set": t("Quote set by hand"), "venue.change": t("Venue switched"),
  "audit.export": t("Audit trail exported"), "approval.propose": t("Proposed"), "approval.approve": t("Proposal approved"), "approval.reject": t("Proposal rejected"),
  "approval.executed": t("Proposal carried out"), "approval.failed": t("Proposal could not be carried out"), "approval.expired": t("Proposal expired"), "approval.voided": t("Proposal void"),
  "fault.retry": t("Fault tried again"), "fault.resolve": t("Fault resolved"),
};
const OBJECTS = {
  client: t("Client"), user: t("User"), user_session: t("Session"), api_key: t("API key"), wallet: t("Wallet"), order: t("Order"),
  position: t("Position"), instrument: t("Instrument"), venue: t("Venue"), fault: t("Fault"), mail: t("Mail"), document: t("Document"), approval: t("Proposal"), audit: t("Audit trail"),
};
const NAMES = {
  email: t("Email"), name: t("Name"), role: t("Role"), active: t("Active"), code: t("Code"), prefix: t("Prefix"), scopes: t("Scopes"), client_id: t("Client"), trader_id: t("Trader"),
  reason: t("Reason"), previous: t("Before"), stopped_by: t("Stopped by"), symbol: t("Instrument"), blocked: t("Blocked"), max_order_qty: t("Most per order"), max_notional_usd: t("Most value per order (USD)"),
  hours: t("Hours"), time_zone: t("Time zone"), bid: t("Bid"), ask: t("Ask"), note: t("Note"), sessions_ended: t("Sessions ended"), count: t("Sessions ended"), system: t("System account"), act_for_clients: t("Acts for clients"),
  previous_bid: t("Bid before"), previous_ask: t("Ask before"), starting: t("Starting balances"), about: t("About"), stage: t("Stage"), waiting_reports: t("Reports waiting"),
  expires_at: t("Expires"), successor: t("Successor"), balances: t("Balances"), status: t("Status"),
  kind: t("Kind"), given_names: t("Given names"), paternal_surname: t("First surname"), maternal_surname: t("Second surname"), identity_type: t("Document"), identity_number: t("Number"), identity_country: t("Issued by"),
  born_on: t("Born or founded on"), nationality: t("Country"), phones: t("Phones"), address: t("Address"), occupation: t("Occupation"), source_of_funds: t("Source of funds"), blocked_reason: t("Reason"),
  changed: t("After"), persons: t("Behind the company"), document: t("Document"),
  summary: t("Summary"), approval: t("Proposal"), proposed_by: t("Proposed by"), user_id: t("User"), records: t("Records"), amount: t("Amount"), currency: t("Currency"), destination: t("Account"),
};
const PAGES = { client: "clients", user: "users", wallet: "wallets", order: "orders", position: "positions" };

export const action = (code) => ACTIONS[code] ?? code;
export const objectType = (code) => OBJECTS[code] ?? code;
export const objectPage = (row) => (PAGES[row.object_type] ? `/${PAGES[row.object_type]}/${row.object_id}` : null);
export const detailName = (name) => NAMES[name] ?? (name[0].toUpperCase() + name.slice(1)).replaceAll("_", " ");
export const actorName = (row) => (row.actor === "system" ? t("System") : row.actor_label ?? row.actor);
/** What an object is called where its record says so, else the end of its id. */
export const objectName = (row) => (row.object_type === "client" ? row.details?.code : null) ?? row.details?.email ?? row.details?.code ?? row.details?.prefix ?? row.details?.symbol ?? (row.object_type === "instrument" ? row.object_id : row.object_id.slice(-8));

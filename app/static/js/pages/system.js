// Feeds, engine, faults, reconciliation, the simulated market and the simulated venue.

import { get, post } from "../api.js";
import { now } from "../clock.js";
import { confirm, showErrors } from "../confirm.js";
import { floorTo, fromUnits, typed, units } from "../decimal.js";
import { $, $$, empty, h, setText } from "../dom.js";
import * as format from "../format.js";
import { t } from "../i18n.js";
import { label, tag } from "../labels.js";
import * as live from "../live.js";
import { amounts, forInput } from "../numbers.js";
import { showFaults, watchFaults } from "../system/faults.js";
import { showVenue, switchVenue } from "../system/venue.js";
import { complain, toast } from "../toast.js";

const root = $("#system");
const instruments = JSON.parse(root.dataset.instruments);
const names = { database: t("Database"), engine: t("Engine"), mail: t("Mail") };
const count = (value) => (value === null || value === undefined ? "–" : format.number(String(value)));

async function showServices() {
  const answer = await get("/api/v1/health/services");
  $("#services").replaceChildren(...answer.services.map((part) => {
    const figures = Object.entries(part.figures ?? {}).filter(([, value]) => Number.isInteger(value)).slice(0, 3).map(([name, value]) => `${word(name)} ${count(value)}`);
    const note = part.milliseconds !== undefined ? t("%(ms)s ms, %(n)s open faults", { ms: part.milliseconds, n: part.faults }) : figures.join(" · ");
    return h("div", { class: "panel card-figure", "data-service": part.name }, h("span", { class: "label" }, names[part.name] ?? (part.name.startsWith("feed:") ? `${t("Feed")} ${label(part.name.slice(5)).toLowerCase()}` : part.name)),
      h("span", { class: "value fs-5" }, tag(part.status)), h("span", { class: "note" }, note));
  }));
}

const rowsTable = (head, rows) => h("div", { class: "table-wrap", tabindex: "0", role: "region", "aria-label": head.map(([text]) => text).join(", ") }, h("table", { class: "list" },
  h("thead", {}, h("tr", {}, head.map(([text, end]) => h("th", { scope: "col", class: end }, text)))), h("tbody", {}, rows)));

async function showFeeds() {
  const feeds = (await get("/api/v1/market/feeds")).items;
  if (!feeds.length) { $("#feeds").replaceChildren(empty(t("No feed in this process"), t("Another process takes the prices."), "activity")); return; }
  $("#feeds").replaceChildren(rowsTable([[t("Feed")], [t("State")], [t("Quotes"), "end"], [t("Refused"), "end"], [t("Restarts"), "end"], [t("Lag"), "end"], [t("Last message")]],
    feeds.map((feed) => h("tr", {}, h("td", {}, label(feed.name)), h("td", {}, tag(feed.state)), h("td", { class: "end" }, count(feed.quotes)), h("td", { class: "end" }, count(feed.quarantined)),
      h("td", { class: "end" }, count(feed.restarts)), h("td", { class: "end" }, feed.lag_ms === null ? "–" : `${count(feed.lag_ms)} ms`), h("td", { title: feed.last_error ?? "" }, format.when(feed.last_message_at))))));
}

const WORDS = {
  armed_positions: t("Armed positions"), open_positions: t("Open positions"), pending_reports: t("Reports waiting"), conflated_quotes: t("Quotes conflated"),
  recovered_orders: t("Orders recovered"), fills: t("Executions"), sent: t("Orders sent"), commits: t("Commits"), quotes: t("Quotes"), messages: t("Messages"),
  quarantined: t("Refused"), errors: t("Errors"), venue: t("Venue"), last_step_at: t("Last step"), lag_ms: t("Lag"), host: t("Host"), entries: t("Journal entries"),
  postings: t("Postings"), executions: t("Executions"), positions: t("Positions"), wallets: t("Wallets"), accounts: t("Accounts"), currencies: t("Currencies"), holds: t("Holds"), events: t("Events"), audit: t("Audit records"), streams: t("Streams"),
  epoch: t("Epoch"), steps: t("Steps"), last_step_age_seconds: t("Last step (s ago)"), pending: t("Waiting"), armed: t("Armed levels"), orders: t("Orders"),
  faults: t("Faults"), leader: t("Leads"), running: t("Running"), queue: t("Queue"), holder: t("Held by"), acquired_at: t("Leads since"), relayed: t("Events sent"),
  relay_events: t("Events sent"), heartbeat_age_seconds: t("Heartbeat (s ago)"), unanswered_requests: t("Requests unanswered"), parked: t("Parked"),
  waiting: t("Waiting"), oldest_waiting_seconds: t("Waits longest (s)"), failed: t("Given up"), transactions: t("Transactions"), recoveries: t("Recoveries"), failed_batches: t("Batches failed"), failed_steps: t("Steps failed"),
};

const word = (name) => WORDS[name] ?? name.replaceAll("_", " ");

async function showEngine() {
  const engine = await get("/api/v1/admin/engine", { limit: 1 });
  const shown = (value) => (typeof value === "boolean" ? (value ? t("yes") : t("no")) : typeof value === "string" && /^\d{4}-\d\d-\d\dT/.test(value) ? format.dateTime(value)
    : typeof value === "number" ? format.number(Number.isInteger(value) ? String(value) : value.toFixed(2)) : typeof value === "string" ? value : null);
  const pairs = [...Object.entries(engine.status), ...Object.entries(engine.lease ?? {}).filter(([name]) => !(name in engine.status))];
  $("#engine").replaceChildren(...pairs.map(([name, value]) => [word(name), shown(value)]).filter(([, value]) => value !== null)
    .map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, value))));
}

async function reconcile() {
  const button = $("#reconcile");
  button.disabled = true;
  $("#reconcile-panel").hidden = false;
  $("#reconcile-result").replaceChildren(h("progress", { "aria-label": t("Reconciling") }));
  try {
    const answer = await get("/api/v1/admin/reconcile");
    setText($("#reconcile-when"), format.dateTime(new Date(now()).toISOString()));
    const checked = Object.entries(answer.checked).map(([name, value]) => h("div", {}, h("dt", {}, word(name)), h("dd", {}, count(value))));
    $("#reconcile-result").replaceChildren(
      h("div", { class: `notice ${answer.ok ? "notice-good" : "notice-bad"} mb-3`, "data-reconcile": answer.ok ? "ok" : "breaks" }, answer.ok ? t("Everything agrees: orders, positions, holds and balances.") : t("%(n)s breaks found", { n: answer.breaks.length })),
      answer.breaks.length ? rowsTable([[t("Code")], [t("What")], [t("Rows")]], answer.breaks.map((item) => h("tr", {}, h("td", {}, tag(item.code, "bad")), h("td", { class: "wrap" }, item.message), h("td", { class: "code wrap" }, JSON.stringify(item.rows ?? []))))) : "",
      h("dl", { class: "facts" }, checked));
  } catch (problem) {
    $("#reconcile-result").replaceChildren(empty(t("Reconciliation failed"), problem.message, "exclamation-triangle"));
  } finally {
    button.disabled = false;
  }
}

function quoteForm(form) {
  const symbol = form.elements.symbol;
  const instrument = () => instruments.find((item) => item.symbol === symbol.value);
  const send = async (bid, ask, sure = {}) => {
    try {
      const quote = await post("/api/v1/market/quotes", { symbol: symbol.value, bid, ask, ...sure });
      showErrors(form, []);
      toast(t("Quote set"), { tone: "good", detail: `${quote.symbol} ${format.number(quote.bid)} / ${format.number(quote.ask)}`, key: "quote" });
    } catch (problem) {
      const asked = problem.errors?.find((error) => error.code === "needs_confirmation");
      if (asked) {
        const { previous_mid: before, mid, band } = asked.value;
        const body = t("%(before)s → %(after)s leaves the band of %(band)s. Every stop on the way fires.",
          { before: format.number(before), after: format.number(mid), band: `${format.number(fromUnits(units(band) * 100n))} %` });
        if (await confirm(t("Set a quote far from the market?"), body, { action: t("Set the quote"), style: "btn-sell" })) await send(bid, ask, { confirm: true });
        return;
      }
      if (showErrors(form, problem.errors).length || !problem.errors.length) complain(problem, t("The quote was not set"));
    }
  };
  const fill = async () => {
    const quote = await get(`/api/v1/market/quotes/${symbol.value}`).catch(() => null);
    form.elements.bid.value = forInput(quote?.bid);
    form.elements.ask.value = forInput(quote?.ask);
  };
  symbol.addEventListener("change", fill);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    try {
      const { bid, ask } = amounts([form.elements.bid, form.elements.ask]);
      send(bid, ask);
    } catch (unclear) {
      if (!unclear.errors) throw unclear;
      showErrors(form, unclear.errors);
    }
  });
  for (const button of $$("[data-push]", form)) {
    button.addEventListener("click", async () => {
      await fill();
      const moved = (text) => {
        const value = (units(typed(text)) * BigInt(100 + Number(button.dataset.push))) / 100n;
        return floorTo(fromUnits(value), instrument().tick_size);
      };
      const [bid, ask] = [moved(form.elements.bid.value), moved(form.elements.ask.value)];
      form.elements.bid.value = forInput(bid);
      form.elements.ask.value = forInput(ask);
      await send(bid, ask);
    });
  }
  fill();
}

live.start();
$("#reconcile").addEventListener("click", reconcile);
const form = $("#quote-form");
if (form) quoteForm(form);
watchFaults(showServices);
switchVenue();
const refresh = () => Promise.allSettled([showServices(), showFeeds(), showEngine(), showFaults(), showVenue()]);
setInterval(() => document.hidden || refresh(), 5000);
root.dataset.ready = "true";
await refresh();

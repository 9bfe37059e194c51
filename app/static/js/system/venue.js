// How the simulated venue behaves, and its switches.

import { get, patch } from "../api.js";
import { showErrors } from "../confirm.js";
import { fromUnits, typed, units } from "../decimal.js";
import { $, $$, setText } from "../dom.js";
import * as format from "../format.js";
import { t } from "../i18n.js";
import { complain, toast } from "../toast.js";

const QUIET = { reject_rate: "0", partial_rate: "0", lost_ack_rate: "0", duplicate_rate: "0", late_rate: "0", disconnected: false };
const POLLS = 20; // of half a second: the engine takes a change within one second, and says so within another
const panel = $("#venue");
const form = $("#venue-form");
const inputs = panel ? $$("[data-unit]", panel) : [];
const untouched = new Map(); // what each input showed before somebody typed in it
let behaviour = null;

const isRate = (input) => input.dataset.unit === "%";
const wasTyped = (input) => input.value !== (untouched.get(input) ?? "");
const wasSwitched = (line) => line.checked !== (untouched.get(line) ?? false);
/** A probability as the API says it, in percent. */
const percent = (rate) => fromUnits((units(rate) ?? 0n) * 100n);

function shown(input) {
  if (behaviour === null) return "";
  const value = String(behaviour[input.name]);
  return format.number(isRate(input) ? percent(value) : value);
}

/** What was typed, as the API takes it; what is no number is left for the API to refuse. */
function wanted(input) {
  const text = typed(input.value);
  if (input.name === "latency_ms") {
    const whole = typed(input.value, { whole: true });
    return /^\d{1,9}$/.test(whole) ? Number(whole) : whole;
  }
  const value = units(text);
  return isRate(input) && value !== null ? fromUnits(value / 100n) : text;
}

/** The API's errors in the units of the form. */
function errorsHere(problem) {
  return problem.errors.map((error) => {
    const most = panel.querySelector(`#v-${CSS.escape(error.field)}`)?.dataset.most;
    return most ? { ...error, code: "", message: t("Must be a number between 0 and %(most)s.", { most: format.number(most) }) } : error;
  });
}

function words(changes) {
  return Object.entries(changes).map(([name, value]) => {
    const label = panel.querySelector(`label[for="v-${name}"]`)?.textContent ?? name;
    if (typeof value === "boolean") return `${label}: ${value ? t("yes") : t("no")}`;
    const unit = panel.querySelector(`#v-${name}`).dataset.unit;
    return `${label}: ${format.number(unit === "%" ? percent(value) : String(value))} ${unit}`;
  }).join(" · ");
}

function draw(venue) {
  behaviour = venue.behaviour;
  for (const input of inputs) {
    const value = shown(input);
    setText($(`#v-${input.name}-now`), behaviour === null ? t("now: not known") : t("now: %(value)s", { value: `${value} ${input.dataset.unit}` }));
    if (!wasTyped(input)) input.value = value;
    untouched.set(input, value);
  }
  const line = $("#v-disconnected");
  const isDown = behaviour?.disconnected ?? false;
  if (!wasSwitched(line)) line.checked = isDown;
  untouched.set(line, isDown);
  setText($("#v-disconnected-now"), behaviour === null ? t("now: not known") : isDown ? t("now: the line is down") : t("now: connected"));
  const notes = venue.waiting.map((change) => t("Waits for the engine: %(changes)s", { changes: words(change.changes) }));
  if (behaviour === null) notes.push(t("No engine has said yet how the venue behaves."));
  if (venue.last_error) notes.push(t("The last change was not made: %(error)s", { error: venue.last_error }));
  setText($("#venue-note"), notes.join(" "));
  $("#venue-note").hidden = !notes.length;
}

export async function showVenue() {
  if (panel) draw(await get("/api/v1/admin/venue"));
}

/** Until the engine has taken the change and said how the venue behaves now. */
async function follow(changes) {
  for (let poll = 0; poll < POLLS; poll += 1) {
    await new Promise((resolve) => { setTimeout(resolve, 500); });
    const venue = await get("/api/v1/admin/venue");
    draw(venue);
    if (Object.entries(changes).every(([name, value]) => venue.behaviour?.[name] === value)) {
      toast(t("The venue has changed"), { tone: "good", detail: words(changes), key: "venue" });
      return;
    }
    if (venue.last_error && !venue.waiting.length) return;
  }
}

async function send(changes) {
  if (!Object.keys(changes).length) {
    toast(t("Nothing was changed"), { key: "venue" });
    return;
  }
  try {
    const venue = await patch("/api/v1/admin/venue", changes);
    showErrors(form, []);
    for (const input of inputs) if (input.name in changes) untouched.set(input, input.value);
    toast(t("The engine is told"), { detail: words(changes), key: "venue" });
    draw(venue);
    follow(changes).catch(() => {});
  } catch (problem) {
    if (showErrors(form, errorsHere(problem)).length || !problem.errors.length) complain(problem, t("The venue was not changed"));
  }
}

export function switchVenue() {
  if (!form) return;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const changes = {};
    for (const input of inputs) if (wasTyped(input)) changes[input.name] = wanted(input);
    const line = form.elements.disconnected;
    if (wasSwitched(line)) changes.disconnected = line.checked;
    send(changes);
  });
  $("#venue-quiet").addEventListener("click", () => {
    for (const input of inputs) if (input.name in QUIET) input.value = "0";
    form.elements.disconnected.checked = false;
    send(Object.fromEntries(Object.entries(QUIET).filter(([name, value]) => behaviour === null || behaviour[name] !== value)));
  });
}

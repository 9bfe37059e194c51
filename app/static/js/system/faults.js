// What the engine had to park: listed, retried, resolved.

import { get, post } from "../api.js";
import { formDialog } from "../confirm.js";
import { $, $$, h, setText } from "../dom.js";
import * as format from "../format.js";
import { t } from "../i18n.js";
import { shortId, tag } from "../labels.js";
import * as live from "../live.js";
import { MiniTable } from "../mini_table.js";
import { complain, toast } from "../toast.js";

const MOST = 50;
const STAGES = {
  booking: t("Booking"), trigger: t("Levels"), arm: t("Arming"), exit: t("Exit"), reduce_only: t("Reduce only"), send: t("Sending to the venue"),
  audit: t("Audit trail"), relay: t("Events"),
};
const OBJECTS = { order: [t("Order"), "/orders/"], position: [t("Position"), "/positions/"], event: [t("Event")], audit_record: [t("Audit record")] };
const root = $("#faults");
const decides = "decides" in root.dataset;
const all = $("#faults-all");
let asked = 0; // how often the list was asked for: answers may come in another order
const unfolded = new Set(); // faults whose messages are shown; drawing again leaves them so
let drawn = "";

const stage = (fault) => STAGES[fault.stage] ?? fault.stage;
const key = (fault) => `fault-${fault.id}`;

function about(fault) {
  const [name, path] = OBJECTS[fault.object_type] ?? [fault.object_type];
  const words = `${name} ${shortId(fault.object_id)}`;
  return path ? h("a", { href: `${path}${fault.object_id}` }, words) : words;
}

function failure(fault) {
  const error = h("div", { class: "long-text" }, fault.error);
  if (!fault.context) return h("div", { class: "fault-error" }, error);
  const messages = fault.context.replaceAll("\u0001", " | ");
  return h("div", { class: "fault-error" }, error, h("details", {
    open: unfolded.has(fault.id), ontoggle: (event) => unfolded[event.target.open ? "add" : "delete"](fault.id),
  }, h("summary", {}, t("The venue's messages")), h("pre", { class: "messages", tabindex: "0" }, messages)));
}

function state(fault) {
  if (fault.resolved_at) {
    return h("div", {}, tag("resolved"), h("div", { class: "small text-secondary long-text" },
      `${format.when(fault.resolved_at)} · ${fault.resolved_by === "engine" ? t("Engine") : fault.resolved_by_name} · ${fault.resolution === "retried" ? t("retried") : fault.resolution}`));
  }
  return tag(fault.retry_at ? "retrying" : "parked");
}

function buttons(fault) {
  if (fault.resolved_at) return "";
  const named = (word) => `${word}: ${stage(fault)}, ${fault.object_type} ${shortId(fault.object_id)}`;
  return h("div", { class: "row-actions" },
    h("button", { type: "button", class: "btn btn-sm btn-quiet", "data-key": `retry-${fault.id}`, disabled: Boolean(fault.retry_at), "aria-label": named(t("Retry")), onclick: () => retry(fault) }, t("Retry")),
    h("button", { type: "button", class: "btn btn-sm btn-quiet", "data-key": `resolve-${fault.id}`, "aria-label": named(t("Resolve")), onclick: () => resolve(fault) }, t("Resolve")));
}

const table = new MiniTable(root, {
  most: MOST,
  none: [t("Nothing is parked"), t("What the engine cannot book is parked here instead of stopping the rest."), "shield-check"],
  columns: [
    { label: t("Time"), cell: (fault) => format.when(fault.at) },
    { label: t("Stage"), cell: stage },
    { label: t("About"), cell: about },
    { label: t("Error"), wide: true, cell: failure },
    { label: t("Reports waiting"), end: true, cell: (fault) => format.number(String(fault.waiting_reports)) },
    { label: t("Attempts"), end: true, cell: (fault) => format.number(String(fault.attempts)) },
    { label: t("State"), cell: state },
    ...(decides ? [{ label: "", cell: buttons }] : []),
  ],
});

/** Draw what is parked, unless it is what is shown already: what is read or pressed stays where it is. */
export async function showFaults() {
  const mine = ++asked;
  const found = await get("/api/v1/admin/faults", { open: !all.checked, limit: MOST });
  const open = all.checked ? (await get("/api/v1/admin/faults", { open: true, limit: 1 })).total : found.total;
  if (mine !== asked) return; // a later answer has what is shown now
  const now = JSON.stringify([found, open]);
  if (now === drawn) return;
  drawn = now;
  const focused = root.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  table.set(found.items);
  for (const row of $$("tbody tr", root)) row.classList.add("align-top");
  setText($("#faults-open"), open ? t("%(n)s parked", { n: open }) : "");
  setText($("#faults-more"), found.has_more ? t("The newest %(n)s of %(total)s", { n: found.items.length, total: found.total }) : "");
  if (focused) root.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

async function retry(fault) {
  try {
    await post(`/api/v1/admin/faults/${fault.id}/retry`);
    toast(t("The engine tries again"), { tone: "info", detail: `${stage(fault)} · ${shortId(fault.object_id)}`, key: key(fault) });
  } catch (problem) {
    complain(problem);
  }
  await showFaults();
}

async function resolve(fault) {
  const lost = fault.waiting_reports ? h("p", { class: "notice notice-warn" },
    t("Reports of the venue that wait for it: %(n)s. They will never be booked: do this only after you have put the books right by hand.", { n: fault.waiting_reports })) : "";
  const resolved = await formDialog(t("Resolve the fault"), [
    h("p", {}, `${stage(fault)} · `, about(fault)), h("p", { class: "long-text text-secondary" }, fault.error), lost,
    h("label", { class: "form-label", for: "fault-note" }, t("What was found and done")),
    h("textarea", { class: "form-control", id: "fault-note", name: "note", rows: "3", maxlength: "300", required: true, "aria-describedby": "fault-hint" }),
    h("div", { class: "form-text", id: "fault-hint" }, t("3 to 300 characters; kept with the fault and in the audit trail.")),
  ], (form) => post(`/api/v1/admin/faults/${fault.id}/resolve`, { note: form.elements.note.value }), { action: t("Resolve") });
  if (resolved) toast(t("Fault resolved"), { tone: "good", key: key(fault) });
  await showFaults();
}

function tell(event) {
  if (event.data.code === "engine_fault") {
    toast(event.data.attempts ? t("It failed again") : t("The engine had to park something"), { tone: "bad", detail: event.data.message, key: `fault-${event.data.fault_id}` });
  } else if (event.data.code === "fault_resolved") {
    toast(t("Fault resolved"), { tone: "good", key: `fault-${event.data.fault_id}` });
  }
}

/** Listen to what happens to faults from now on; ``changed`` is called after each. */
export function watchFaults(changed = () => {}) {
  live.on("alert.*", (event) => { tell(event); showFaults(); changed(); });
  live.on("reset", showFaults);
  all.addEventListener("change", showFaults);
}

// What every page has: theme and language, the connection's state, times in the reader's zone, own events as toasts.

import { get, post } from "./api.js";
import { $, $$, setText } from "./dom.js";
import { rejectionText } from "./failures.js";
import { dateTime, number, price, when } from "./format.js";
import { t } from "./i18n.js";
import { label, sideName } from "./labels.js";
import * as live from "./live.js";
import { isMe, nameOf } from "./people.js";
import { tickOf } from "./ticks.js";
import { toast } from "./toast.js";

const root = document.documentElement;
const user = document.body.dataset.user;

function toggleTheme() {
  const theme = root.getAttribute("data-bs-theme") === "dark" ? "light" : "dark";
  root.setAttribute("data-bs-theme", theme);
  try { localStorage.setItem("theme", theme); } catch { /* only this page then */ }
  document.dispatchEvent(new CustomEvent("themechange", { detail: theme }));
  post("/account/theme", { theme }).catch(() => {});
}

async function prefer(path, choice) {
  await post(path, choice).catch(() => {});
  location.reload();
}

$("[data-theme-toggle]")?.addEventListener("click", toggleTheme);
for (const button of $$("[data-language]")) button.addEventListener("click", () => prefer("/account/language", { language: button.dataset.language }));
for (const button of $$("[data-number-format]")) button.addEventListener("click", () => prefer("/account/number-format", { number_format: button.dataset.numberFormat }));
for (const node of $$("time[data-time]")) {
  setText(node, node.dataset.time === "short" ? when(node.dateTime) : dateTime(node.dateTime));
  node.title = dateTime(node.dateTime);
}
for (const node of $$("[data-number]")) setText(node, number(node.dataset.number));
for (const form of $$("form[data-confirm]")) {
  form.addEventListener("submit", async (event) => {
    if (form.dataset.confirmed) return;
    event.preventDefault();
    const { confirm } = await import("./confirm.js");
    if (await confirm(form.dataset.confirm, form.dataset.confirmText ?? "")) {
      form.dataset.confirmed = "1";
      form.requestSubmit(event.submitter);
    }
  });
}
for (const button of $$("[data-copy]")) {
  button.addEventListener("click", async () => {
    await navigator.clipboard?.writeText($(button.dataset.copy).textContent.trim());
    toast(t("Copied"), { tone: "good", seconds: 2 });
  });
}

const indicator = $("#connection");
if (indicator) {
  live.onState((state) => {
    indicator.dataset.state = state;
    setText($(".connection-text", indicator), indicator.dataset[state]);
  });
}

const amending = new Map(); // orders of which an amendment is on its way: what it changes

/** One toast per order as it goes on, for what this person or their client has running. */
async function announce(event) {
  const order = event.data;
  const mine = isMe(order.created_by) || isMe(event.by) || (document.body.dataset.client && order.client_id === document.body.dataset.client);
  if (!mine) return;
  if (event.changed?.price || event.changed?.qty) { amended(order, event); return; }
  const settled = amending.get(order.id);
  amending.delete(order.id);
  const what = `${sideName(order.side)} ${number(order.qty)} ${order.symbol}`;
  if (settled && event.previous_status === "PENDING_REPLACE" && ["OPEN", "PARTIALLY_FILLED"].includes(order.status)) {
    const done = order.qty === settled.qty && order.price === settled.price;
    const title = done ? t("%(what)s: amended", { what }) : t("%(what)s: the venue did not amend it", { what });
    toast(title, { tone: done ? "good" : "bad", detail: await settled.text, key: order.id, seconds: settled.seconds });
    return;
  }
  const tone = { FILLED: "good", REJECTED: "bad", FAILED: "bad", EXPIRED: "warn", CANCELED: "info" }[order.status];
  if (!tone) return;
  const reason = order.exit_reason ? label(order.exit_reason) : "";
  const at = order.avg_px && order.status === "FILLED" ? t("at %(price)s", { price: price(order.avg_px, await tickOf(order.symbol)) }) : "";
  const detail = order.status === "REJECTED" ? rejectionText(order) : [reason, at].filter(Boolean).join(" · ");
  toast(`${what}: ${label(order.status).toLowerCase()}`, { tone, detail, key: order.id });
}

/** An amendment: what changes from what to what, and by whom where that is somebody else. */
async function amended(order, { changed, by }) {
  const text = Promise.all([tickOf(order.symbol), isMe(by) ? "" : nameOf(by), import("./order_history.js")])
    .then(([tick, who, history]) => [history.changedText(changed, tick), who && t("by %(who)s", { who })].filter(Boolean).join(" · "));
  const memory = { qty: changed.qty?.[1] ?? order.qty, price: changed.price?.[1] ?? order.price, text, seconds: isMe(by) ? 5 : 9 };
  const sent = order.status === "PENDING_REPLACE";
  if (sent) amending.set(order.id, memory);
  const detail = await text;
  if (sent && amending.get(order.id) !== memory) return; // it has gone on since
  const what = `${sideName(order.side)} ${number(order.qty)} ${order.symbol}`;
  toast(sent ? t("%(what)s: is being amended", { what }) : t("%(what)s: amended", { what }), { tone: "info", detail, key: order.id, seconds: memory.seconds });
}
live.on("order.*", announce);

/** How much waits for this person to decide, beside the link to it. */
const waiting = $("[data-waiting]");
let counting = 0;
function count() {
  clearTimeout(counting);
  counting = setTimeout(async () => {
    const answer = await get("/api/v1/approvals", { waiting_for_me: true, limit: 1 }).catch(() => null);
    if (answer) setText(waiting, answer.total ? String(answer.total) : "");
  }, 250);
}
if (waiting) for (const type of ["approval.*", "reset"]) live.on(type, count);
live.start();

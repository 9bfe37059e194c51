// What every page has: theme and language, the connection's state, times in the reader's zone, own events as toasts.

import { post } from "./api.js";
import { $, $$, setText } from "./dom.js";
import { rejectionText } from "./failures.js";
import { dateTime, number, when } from "./format.js";
import { t } from "./i18n.js";
import { label, sideName } from "./labels.js";
import * as live from "./live.js";
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

async function switchLanguage(language) {
  await post("/account/language", { language }).catch(() => {});
  location.reload();
}

$("[data-theme-toggle]")?.addEventListener("click", toggleTheme);
for (const button of $$("[data-language]")) button.addEventListener("click", () => switchLanguage(button.dataset.language));
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

/** One toast per order as it goes on, for what this person or their client has running. */
function announce(event) {
  const order = event.data;
  const mine = order.created_by === `user:${user}` || (document.body.dataset.client && order.client_id === document.body.dataset.client);
  if (!mine) return;
  const what = `${sideName(order.side)} ${number(order.qty)} ${order.symbol}`;
  const tone = { FILLED: "good", REJECTED: "bad", FAILED: "bad", EXPIRED: "warn", CANCELED: "info" }[order.status];
  if (!tone) return;
  const reason = order.exit_reason ? label(order.exit_reason) : "";
  const price = order.avg_px && order.status === "FILLED" ? t("at %(price)s", { price: number(order.avg_px) }) : "";
  const detail = order.status === "REJECTED" ? rejectionText(order) : [reason, price].filter(Boolean).join(" · ");
  toast(`${what}: ${label(order.status).toLowerCase()}`, { tone, detail, key: order.id });
}
live.on("order.*", announce);
live.start();

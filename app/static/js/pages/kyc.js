// A client's own verification: how it stands, what is missing, and going on with it.

import { get, post } from "../api.js";
import { $, h } from "../dom.js";
import { t } from "../i18n.js";
import { levelName, meters, missing, standing } from "../kyc.js";
import * as live from "../live.js";
import { complain, toast } from "../toast.js";

const root = $("#kyc");
const may = root.dataset.start === "true";
let serial = 0;

/** Whether the client can begin, or go on with, a verification. */
const startable = (shown) => may && shown.status !== "rejected" && (shown.level < shown.next_level || shown.verification?.status === "pending" || shown.status === "expired");

async function begin(button) {
  button.disabled = true;
  try {
    const { verification, access } = await post("/api/v1/kyc/start");
    if (access) {
      location.assign(access.url);
      return;
    }
    if (verification.status === "pending") toast(t("The verification has begun; we tell you when it is decided."), { tone: "good", key: "kyc" });
  } catch (problem) {
    complain(problem);
  }
  await load();
}

function action(shown) {
  if (shown.status === "rejected") return h("div", { class: "notice notice-bad" }, t("Your verification was rejected. Please get in touch with us."));
  if (!startable(shown)) return null;
  const goesOn = shown.verification?.status === "pending";
  const text = goesOn ? t("Continue the verification") : t("Verify for level %(level)s", { level: levelName(shown.next_level) });
  const button = h("button", { type: "button", class: "btn btn-primary", id: "start-kyc", onclick: () => begin(button) }, text);
  return h("div", {}, button);
}

async function load() {
  serial += 1;
  const mine = serial;
  const shown = await get("/api/v1/kyc/status");
  if (mine !== serial) return; // a later answer is there already
  const panel = (title, ...content) => h("section", { class: "panel" }, h("div", { class: "panel-head" }, h("h2", {}, title)), h("div", { class: "panel-body stack" }, content));
  root.replaceChildren(panel(t("Your verification"), standing(shown), missing(shown), action(shown)), panel(t("What you may move"), meters(shown)));
  root.dataset.ready = "true";
}

for (const family of ["kyc.*", "deposit.*", "withdrawal.*"]) live.on(family, () => load().catch(complain));
live.on("reset", () => load().catch(complain));
live.start();
load().catch(complain);

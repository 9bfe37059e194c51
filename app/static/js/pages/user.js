// One user: name, role, one-time password, sessions, disable.

import { get, patch, post } from "../api.js";
import { confirm, formDialog } from "../confirm.js";
import { $, h } from "../dom.js";
import * as format from "../format.js";
import { t } from "../i18n.js";
import { MiniTable } from "../mini_table.js";
import { showPassword } from "../one_time_password.js";
import { role } from "../roles.js";
import { complain, toast } from "../toast.js";

const root = $("#user");
const user = JSON.parse(root.dataset.user);
const roles = JSON.parse(root.dataset.roles);
const path = `/api/v1/users/${user.id}`;

const sessions = new MiniTable($("#sessions"), {
  most: 100, sort: (a, b) => (a.seen_at < b.seen_at ? 1 : -1), none: [t("Signed in nowhere"), "", "shield-lock"],
  columns: [
    { label: t("Browser"), wide: true, cell: (row) => h("span", { class: "long-text" }, row.user_agent ?? t("Unknown")) },
    { label: t("Address"), cell: (row) => row.ip ?? "–" },
    { label: t("Since"), cell: (row) => format.when(row.created_at) },
    { label: t("Last seen"), cell: (row) => format.when(row.seen_at) },
  ],
});

async function load() {
  sessions.set((await get(`${path}/sessions`)).items);
  root.dataset.ready = "true";
}

async function tried(work) {
  try {
    return await work();
  } catch (problem) {
    complain(problem);
    return null;
  }
}

$("#edit-user")?.addEventListener("click", async () => {
  const fields = [h("div", { class: "mb-3" }, h("label", { class: "form-label", for: "edit-name" }, t("Name")), h("input", { class: "form-control", id: "edit-name", name: "name", value: user.name }))];
  if (roles.length && !root.dataset.own) {
    fields.push(h("div", {}, h("label", { class: "form-label", for: "edit-role" }, t("Role")),
      h("select", { class: "form-select", id: "edit-role", name: "role" }, roles.map((code) => h("option", { value: code, selected: code === user.role }, role(code))))));
  }
  const saved = await formDialog(t("Edit user"), fields, (form) => {
    const body = { name: form.elements.name.value.trim() };
    if (form.elements.role) body.role = form.elements.role.value;
    return patch(path, body, user.version);
  });
  if (saved) location.reload();
});

$("#reset-password")?.addEventListener("click", async () => {
  const sure = await confirm(t("Give %(name)s a one-time password?", { name: user.name }), t("The password of now stops working, and all sessions end."), { action: t("Make the password") });
  const answer = sure ? await tried(() => post(`${path}/reset-password`)) : null;
  if (!answer) return;
  await showPassword(answer);
  location.reload();
});

$("#send-invitation")?.addEventListener("click", async () => {
  const sure = await confirm(t("Mail %(name)s another invitation?", { name: user.name }), t("The links mailed before stop working."), { action: t("Send the mail") });
  if (sure && await tried(() => post(`${path}/send-invitation`))) toast(t("The invitation is on its way"), { tone: "good", detail: user.email });
});

$("#remove-second-step")?.addEventListener("click", async () => {
  const sure = await confirm(t("Take the second step of %(name)s away?", { name: user.name }),
    t("They sign in with the password alone then, and all sessions end. Be sure that it is they who ask."), { action: t("Take it away"), style: "btn-sell" });
  if (sure && await tried(() => post(`${path}/remove-second-step`))) location.reload();
});

$("#switch-user")?.addEventListener("click", async () => {
  const [title, text] = user.active
    ? [t("Disable %(name)s?", { name: user.name }), t("All sessions end at once; nobody signs in as this user any more.")]
    : [t("Enable %(name)s?", { name: user.name }), t("Once a second Master has agreed, the user signs in again with the password they had.")];
  if (!(await confirm(title, text, { action: user.active ? t("Disable") : t("Enable"), style: user.active ? "btn-sell" : "btn-primary" }))) return;
  if (await tried(() => patch(path, { active: !user.active }, user.version))) location.reload();
});

$("#end-sessions")?.addEventListener("click", async () => {
  if (!(await confirm(t("End all sessions of %(name)s?", { name: user.name }), t("Every browser of this user has to sign in again.")))) return;
  const answer = await tried(() => post(`${path}/end-sessions`));
  if (answer) toast(t("%(n)s sessions ended", { n: answer.ended }), { tone: "good" });
  await load();
});
await load().catch(complain);

import { h } from "./dom.js";
import { fieldText } from "./failures.js";
import { t } from "./i18n.js";

/** Ask before something that costs money; resolves to true or false. ``body`` is text or nodes. */
export function confirm(title, body, { action = t("Confirm"), style = "btn-primary" } = {}) {
  return new Promise((resolve) => {
    let answer = false;
    const go = h("button", { type: "button", class: `btn ${style}`, onclick: () => { answer = true; shown.hide(); } }, action);
    const modal = h("div", { class: "modal fade", tabindex: "-1", role: "dialog", "aria-labelledby": "confirm-title", "aria-modal": "true" },
      h("div", { class: "modal-dialog modal-dialog-centered" },
        h("div", { class: "modal-content" },
          h("div", { class: "modal-header" }, h("h2", { class: "modal-title fs-6", id: "confirm-title" }, title),
            h("button", { type: "button", class: "btn-close", "data-bs-dismiss": "modal", "aria-label": t("Close") })),
          h("div", { class: "modal-body" }, body),
          h("div", { class: "modal-footer" },
            h("button", { type: "button", class: "btn btn-quiet", "data-bs-dismiss": "modal" }, t("Back")), go))));
    document.body.append(modal);
    const shown = new window.bootstrap.Modal(modal);
    modal.addEventListener("shown.bs.modal", () => go.focus());
    modal.addEventListener("hidden.bs.modal", () => { shown.dispose(); modal.remove(); resolve(answer); });
    shown.show();
  });
}

/** A dialog with a form; ``submit(form)`` may throw a Problem, which is shown at its fields. */
export function formDialog(title, fields, submit, { action = t("Save"), style = "btn-primary", size = "" } = {}) {
  return new Promise((resolve) => {
    let result = null;
    const button = h("button", { type: "submit", class: `btn ${style}` }, action);
    const general = h("div", { class: "text-danger small me-auto", role: "alert" });
    const form = h("form", { class: "modal-content", novalidate: true, "aria-labelledby": "dialog-title" },
      h("div", { class: "modal-header" }, h("h2", { class: "modal-title fs-6", id: "dialog-title" }, title),
        h("button", { type: "button", class: "btn-close", "data-bs-dismiss": "modal", "aria-label": t("Close") })),
      h("div", { class: "modal-body" }, fields),
      h("div", { class: "modal-footer" }, general,
        h("button", { type: "button", class: "btn btn-quiet", "data-bs-dismiss": "modal" }, t("Back")), button));
    const modal = h("div", { class: "modal fade", tabindex: "-1", role: "dialog", "aria-modal": "true" },
      h("div", { class: `modal-dialog modal-dialog-centered ${size}` }, form));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      button.disabled = true;
      showErrors(form, []);
      general.textContent = "";
      try {
        result = await submit(form);
        shown.hide();
      } catch (problem) {
        const left = showErrors(form, problem.errors ?? []);
        general.textContent = problem.errors?.length && !left.length ? "" : problem.message;
      } finally {
        button.disabled = false;
      }
    });
    document.body.append(modal);
    const shown = new window.bootstrap.Modal(modal);
    modal.addEventListener("shown.bs.modal", () => form.querySelector("input:not([type=hidden]), select, textarea")?.focus());
    modal.addEventListener("hidden.bs.modal", () => { shown.dispose(); modal.remove(); resolve(result); });
    shown.show();
  });
}

/** Put each error at the input of its name; returns those that have none. */
export function showErrors(form, errors) {
  for (const input of form.querySelectorAll(".is-invalid")) {
    input.classList.remove("is-invalid");
    input.removeAttribute("aria-invalid");
  }
  for (const note of form.querySelectorAll(".field-error")) note.remove();
  const left = [];
  for (const error of errors) {
    const input = form.elements.namedItem(error.field) ?? form.elements.namedItem(`${error.field}.value`);
    if (!input || input.length) { left.push(error); continue; }
    input.classList.add("is-invalid");
    input.setAttribute("aria-invalid", "true");
    const holder = input.closest(".input-group") ?? input;
    holder.after(h("div", { class: "invalid-feedback d-block field-error" }, fieldText(error)));
  }
  return left;
}

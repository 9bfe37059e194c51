import { h } from "./dom.js";
import { fieldText } from "./failures.js";
import { number } from "./format.js";
import { t } from "./i18n.js";
import { forInput } from "./numbers.js";

// No dialog here fades: Bootstrap moves the focus and closes only after that, and a key pressed meanwhile is lost.

/**
 * Ask before something that costs money; resolves to true or false. ``body`` is text or nodes. While ``pending`` is
 * not resolved what is shown is not complete: who confirms before that has confirmed once it resolves to true, and
 * is asked again when it resolves to false, because then something new is shown.
 */
export function confirm(title, body, { action = t("Confirm"), style = "btn-primary", pending = null } = {}) {
  return new Promise((resolve) => {
    let answer = false;
    let complete = pending === null;
    let wanted = false;
    const before = document.activeElement;
    const accept = () => {
      if (!complete) { wanted = true; go.setAttribute("aria-busy", "true"); return; }
      answer = true;
      shown.hide();
    };
    const go = h("button", { type: "button", class: `btn ${style}`, onclick: accept }, action);
    // a key that is held down has been pressed once
    go.addEventListener("keydown", (event) => { if (event.repeat) event.preventDefault(); });
    const modal = h("div", { class: "modal", tabindex: "-1", role: "dialog", "aria-labelledby": "confirm-title", "aria-modal": "true" },
      h("div", { class: "modal-dialog modal-dialog-centered" },
        h("div", { class: "modal-content" },
          h("div", { class: "modal-header" }, h("h2", { class: "modal-title fs-6", id: "confirm-title" }, title),
            h("button", { type: "button", class: "btn-close", "data-bs-dismiss": "modal", "aria-label": t("Close") })),
          h("div", { class: "modal-body" }, body),
          h("div", { class: "modal-footer" },
            h("button", { type: "button", class: "btn btn-quiet", "data-bs-dismiss": "modal" }, t("Back")), go))));
    document.body.append(modal);
    // the second of two clicks on a button lands beside the dialog and must not close it
    const shown = new window.bootstrap.Modal(modal, { backdrop: "static" });
    modal.addEventListener("shown.bs.modal", () => go.focus());
    modal.addEventListener("hidden.bs.modal", () => { shown.dispose(); modal.remove(); before?.focus?.({ preventScroll: true }); resolve(answer); });
    shown.show();
    pending?.then((same) => {
      complete = true;
      go.removeAttribute("aria-busy");
      if (wanted && same && modal.isConnected) accept();
      wanted = false;
    });
  });
}

/** A dialog with a form; ``submit(form)`` may throw a Problem, which is shown at its fields. */
export function formDialog(title, fields, submit, { action = t("Save"), style = "btn-primary", size = "", instrument = null } = {}) {
  return new Promise((resolve) => {
    let result = null;
    const button = h("button", { type: "submit", class: `btn ${style}` }, action);
    const general = h("div", { class: "text-danger small me-auto", role: "alert" });
    const form = h("form", { class: "modal-content", novalidate: true },
      h("div", { class: "modal-header" }, h("h2", { class: "modal-title fs-6", id: "dialog-title" }, title),
        h("button", { type: "button", class: "btn-close", "data-bs-dismiss": "modal", "aria-label": t("Close") })),
      h("div", { class: "modal-body" }, fields),
      h("div", { class: "modal-footer" }, general,
        h("button", { type: "button", class: "btn btn-quiet", "data-bs-dismiss": "modal" }, t("Back")), button));
    const modal = h("div", { class: "modal", tabindex: "-1", role: "dialog", "aria-modal": "true", "aria-labelledby": "dialog-title" },
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
        const left = showErrors(form, problem.errors ?? [], instrument);
        general.textContent = problem.errors?.length && !left.length ? "" : problem.unknown ? unknownText() : problem.message;
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

/** What to say where no answer came to a request that changes something. */
export const unknownText = () => `${t("No answer from the server")}. ${t("It is not known whether this was done. Look before you repeat it.")}`;

/** Put each error at the input of its name; returns those that have none. ``instrument`` tells tick and lot. */
export function showErrors(form, errors, instrument = null) {
  for (const input of form.querySelectorAll(".is-invalid")) {
    input.classList.remove("is-invalid");
    input.removeAttribute("aria-invalid");
    input.removeAttribute("aria-describedby");
  }
  for (const note of form.querySelectorAll(".field-error")) note.remove();
  const left = [];
  for (const error of errors) {
    const input = error.input ?? form.elements.namedItem(error.field) ?? form.elements.namedItem(`${error.field}.value`);
    if (!input || input.length) { left.push(error); continue; }
    input.classList.add("is-invalid");
    input.setAttribute("aria-invalid", "true");
    const holder = input.closest(".input-group") ?? input;
    const id = `error-${input.id || input.name}`;
    input.setAttribute("aria-describedby", id);
    holder.after(h("div", { class: "invalid-feedback d-block field-error", id, role: error.choices ? "alert" : null },
      error.choices ? question(input, error.choices) : fieldText(error, instrument)));
  }
  return left;
}

/** Which of the readings of a number is meant; a press puts it into the input. */
function question(input, choices) {
  const choose = (value) => {
    input.value = forInput(value);
    input.dispatchEvent(new Event("input", { bubbles: true }));
    input.focus();
  };
  return [t("Which number is meant?"), " ", choices.map((value) =>
    h("button", { type: "button", class: "btn btn-quiet btn-sm ms-1", "data-reading": value, onclick: () => choose(value) }, number(value)))];
}

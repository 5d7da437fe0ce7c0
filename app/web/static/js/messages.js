// What the page says to the reader, and what it asks: toasts in a live region, and a dialog to confirm.

const SECONDS = 8;

/** Shows a message for a while; a failure stays until it is closed. */
export function toast(text, { bad = false } = {}) {
  const box = document.createElement("div");
  box.className = bad ? "toast bad" : "toast";
  const words = document.createElement("span");
  words.textContent = text;
  const close = document.createElement("button");
  close.type = "button";
  close.textContent = "×";
  close.setAttribute("aria-label", "Close this message");
  close.addEventListener("click", () => box.remove());
  box.append(words, close);
  document.getElementById("toasts").append(box);
  if (!bad) setTimeout(() => box.remove(), SECONDS * 1000);
}

/** Asks before something that cannot be undone, or that others notice; resolves to true or false. */
export function confirmed({ title, text = "", action = "Yes", danger = false }) {
  const dialog = document.getElementById("confirm");
  dialog.querySelector("h2").textContent = title;
  dialog.querySelector("p").textContent = text;
  const yes = dialog.querySelector("button[value=yes]");
  yes.textContent = action;
  yes.className = danger ? "danger" : "main";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

/** Puts an API error's messages beside the fields of a form that it names; the rest becomes a toast. */
export function showErrors(form, error) {
  clearErrors(form);
  const named = Object.entries(error.details ?? {}).filter(([name, messages]) => wrongBeside(form, name, sentences(messages)));
  if (named.length) focusable(form.elements[named[0][0]])?.focus();
  else toast(told(error), { bad: true });
}

/** Says beside the field of a name what is wrong with it; whether there is such a field. */
export function wrongBeside(form, name, text) {
  const input = focusable(form.elements[name]);
  const place = form.querySelector(`#${CSS.escape(input?.id || name)}-wrong`);
  if (!place) return false;
  place.textContent = text;
  if (text) input?.setAttribute("aria-invalid", "true");
  else input?.removeAttribute("aria-invalid");
  return true;
}

/** A field, or the first of several of one name. */
function focusable(found) {
  return found instanceof RadioNodeList ? found[0] : found;
}

export function clearErrors(form) {
  for (const place of form.querySelectorAll(".wrong")) place.textContent = "";
  for (const input of form.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
}

/** An error in words: what it says of each field, or else its message. */
export function told(error) {
  const fields = error.code === "invalid" ? Object.entries(error.details ?? {}) : [];
  return fields.length ? fields.map(([name, messages]) => `${name}: ${sentences(messages)}`).join(" ") : error.message;
}

/** The messages of one field. */
export function sentences(messages) {
  return Array.isArray(messages) ? messages.join(" ") : typeof messages === "string" ? messages : JSON.stringify(messages);
}

// Operations: the platform's state, asked for again every few seconds, and failed jobs tried again.

import { api, send } from "./api.js";
import { told, toast } from "./messages.js";
import { localTimes } from "./page.js";
import { ready } from "./ready.js";

const EVERY = 10_000; // milliseconds
const state = document.getElementById("state");
const age = document.getElementById("age");
let asking = null;

async function load() {
  asking ??= ask().finally(() => {
    asking = null;
  });
  return asking;
}

async function ask() {
  state.setAttribute("aria-busy", "true");
  try {
    const answer = await send("/operations/state");
    state.innerHTML = await answer.text();
    localTimes(state);
    age.textContent = `as of ${new Date().toLocaleTimeString([], { hour12: false })}`;
  } catch (error) {
    age.textContent = `as it was before: ${told(error)}`;
  } finally {
    state.removeAttribute("aria-busy");
  }
}

async function retry(button) {
  button.disabled = true;
  try {
    await api(`/operations/jobs/${button.dataset.retry}/retry`, { method: "POST", repeat: true });
    toast("The job is queued again.");
    await load();
  } catch (error) {
    toast(told(error), { bad: true });
    button.disabled = false;
  }
}

state.addEventListener("click", (event) => {
  const button = event.target.closest("[data-retry]");
  if (button) retry(button);
});
document.getElementById("refresh").addEventListener("click", load);
ready("operations");
setInterval(() => {
  // not under the reader's hands, nor in a tab that nobody sees
  if (!document.hidden && !state.contains(document.activeElement)) load();
}, EVERY);
load();

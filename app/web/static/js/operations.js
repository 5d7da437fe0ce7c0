// Operations: the platform's state, asked for again every few seconds.

import { send } from "./api.js";
import { told } from "./messages.js";
import { localTimes } from "./page.js";

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

document.getElementById("refresh").addEventListener("click", load);
setInterval(() => {
  // not under the reader's hands, nor in a tab that nobody sees
  if (!document.hidden && !state.contains(document.activeElement)) load();
}, EVERY);
load();

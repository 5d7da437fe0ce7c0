// Home: running jobs as they happen, and simulated sessions for whoever has none.

import { api } from "./api.js";
import { followAll } from "./jobs.js";
import { told, toast } from "./messages.js";
import { ready } from "./ready.js";

let left = document.querySelectorAll("[data-job]").length;
followAll(() => {
  left -= 1;
  if (!left) location.reload(); // the cards show what was learned
});

const button = document.querySelector("[data-simulate]");
button?.addEventListener("click", async () => {
  button.setAttribute("aria-busy", "true");
  button.disabled = true;
  button.textContent = "Simulating four sessions …";
  try {
    await api("/racing-session/simulated", { method: "POST", repeat: true });
    location.reload();
  } catch (error) {
    toast(told(error), { bad: true });
    button.removeAttribute("aria-busy");
    button.disabled = false;
    button.textContent = "Load simulated sessions";
  }
});
ready("home");

// A track: models that are not there yet are trained on all its sessions.

import { api } from "./api.js";
import { chartAll } from "./charts.js";
import { follow, show } from "./jobs.js";
import { told, toast } from "./messages.js";
import { ready } from "./ready.js";

const MOST_SESSIONS = 1000; // that one training takes
const track = document.querySelector("[data-track]").dataset.track;

chartAll();
for (const button of document.querySelectorAll("[data-train]")) {
  button.addEventListener("click", () => train(button));
}
ready("track");

async function train(button) {
  const card = button.closest("article");
  button.disabled = true;
  try {
    const body = { trackName: track, modelType: button.dataset.train, sessionIds: await sessionIds() };
    const job = await api("/model/train", { method: "POST", json: body });
    const place = card.querySelector("[data-training]");
    place.classList.remove("hidden");
    const ended = await follow(job.id, (now) => show(place, now));
    if (ended.status === "succeeded") location.reload();
    else button.disabled = false;
  } catch (error) {
    toast(told(error), { bad: true });
    button.disabled = false;
  }
}

/** The newest sessions of the track, oldest first, for that is how they were driven. */
async function sessionIds() {
  const ids = [];
  for (let cursor = ""; cursor !== null && ids.length < MOST_SESSIONS; ) {
    const query = new URLSearchParams({ trackName: track, limit: "200", ...(cursor && { cursor }) });
    const page = await api(`/racing-session?${query}`);
    ids.push(...page.items.map((session) => session.id));
    cursor = page.nextCursor;
  }
  return ids.slice(0, MOST_SESSIONS).reverse();
}

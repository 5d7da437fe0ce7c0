// Jobs as they happen: progress bars fed by Server-Sent Events, or by asking where no stream can be had.

import { api } from "./api.js";
import { confirmed, toast } from "./messages.js";

const STREAMS = 2; // a driver may have four, and a browser six connections: other tabs want some
const ASK_EVERY = 1500; // milliseconds
const ENDED = ["succeeded", "failed", "cancelled"];
const WORDS = { queued: "waiting", running: "running", succeeded: "done", failed: "failed", cancelled: "cancelled" };
const LOOKS = { queued: "", running: "busy", succeeded: "good", failed: "bad", cancelled: "" };
let open = 0;

/** Calls `changed(job)` with the job now and at each change; resolves to the job when it has ended. */
export async function follow(id, changed = () => {}, { signal } = {}) {
  if (open < STREAMS && "EventSource" in window) {
    open += 1;
    const job = await streamed(id, changed, signal).finally(() => {
      open -= 1;
    });
    if (job) return job;
  }
  return asked(id, changed, signal);
}

export function hasEnded(job) {
  return ENDED.includes(job.status);
}

/** Shows a job in an element made by the macro `job_row`. */
export function show(element, job) {
  const tag = element.querySelector("[data-job-status]");
  tag.className = `tag ${LOOKS[job.status]}`;
  tag.textContent = WORDS[job.status];
  const bar = element.querySelector("progress");
  if (job.status === "succeeded") bar.value = bar.max = 1;
  else if (job.progress) Object.assign(bar, { max: Math.max(job.progress.total, 1), value: job.progress.done });
  else if (job.status === "running") bar.removeAttribute("value");
  else bar.value = 0;
  element.querySelector("[data-job-told]").textContent = told(job);
}

/** Follows every job on the page that has not ended; `ended(job, element)` for each that does. */
export function followAll(ended = () => {}) {
  for (const element of document.querySelectorAll("[data-job]")) followIn(element).then((job) => ended(job, element));
}

/** Shows a job that the page has just asked for, at its place within `root`; resolves to the job when it has ended. */
export async function followHere(root, job) {
  const element = root.querySelector("[data-job-here]");
  element.dataset.job = job.id;
  show(element, job);
  element.classList.remove("hidden");
  return followIn(element);
}

async function followIn(element) {
  const button = element.querySelector("[data-cancel]");
  if (button) Object.assign(button, { onclick: () => cancel(button, element), disabled: false, hidden: false });
  const job = await follow(element.dataset.job, (now) => show(element, now));
  if (button) button.hidden = true;
  return job;
}

async function cancel(button, element) {
  const sure = await confirmed({
    title: "Cancel this job?",
    text: "It leaves no version. Its sessions stay and can be learned later.",
    action: "Cancel the job",
    danger: true,
  });
  if (!sure) return;
  button.disabled = true;
  try {
    show(element, await api(`/jobs/${element.dataset.job}`, { method: "DELETE" }));
  } catch (error) {
    toast(error.message, { bad: true }); // it has ended meanwhile
  }
}

function told(job) {
  if (job.status === "failed") return job.error?.message ?? "It failed.";
  if (job.status === "succeeded" && ["compare", "validate"].includes(job.kind)) return "measured";
  if (job.status === "succeeded") return job.modelVersion ? `version ${job.modelVersion}` : "nothing new to learn";
  if (job.status === "queued" && job.attempts) return `waits to be tried again: ${job.error?.message ?? ""}`;
  if (job.status === "queued") return "waits for a worker";
  return job.progress ? `${job.progress.done} of ${job.progress.total} ${job.progress.unit}` : "begins";
}

function streamed(id, changed, signal) {
  return new Promise((resolve) => {
    const source = new EventSource(`/jobs/${id}/events`);
    const end = (job) => {
      source.close();
      resolve(job);
    };
    source.addEventListener("job", (event) => {
      const job = JSON.parse(event.data);
      changed(job);
      if (hasEnded(job)) end(job);
    });
    source.addEventListener("error", () => end(null)); // refused, or cut off: asking goes on
    signal?.addEventListener("abort", () => end(null));
  });
}

async function asked(id, changed, signal) {
  for (;;) {
    const job = await api(`/jobs/${id}`, { signal });
    changed(job);
    if (hasEnded(job)) return job;
    await new Promise((resolve) => setTimeout(resolve, ASK_EVERY));
  }
}

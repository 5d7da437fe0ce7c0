// Two versions measured on the same laps: the job, and what it found, in words and figures.

import { api } from "./api.js";
import { choosing } from "./choosing.js";
import { figure } from "./found.js";
import { gap, percent } from "./format.js";
import { followHere, hasEnded } from "./jobs.js";
import { clearErrors, showErrors, toast } from "./messages.js";
import { ready } from "./ready.js";

const form = document.querySelector("[data-compare]");

if (form) {
  const ids = choosing(form);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearErrors(form);
    compare(ids());
  });
  ready("compare");
  const known = new URLSearchParams(location.search).get("job");
  if (known) again(known);
}

async function compare(sessionIds) {
  if (!sessionIds.length) return;
  await watched(async () => {
    const json = { modelIds: [form.dataset.a, form.dataset.b], sessionIds };
    const job = await api("/ai-model/compare", { method: "POST", json });
    const here = new URL(location.href);
    here.searchParams.set("a", form.dataset.a);
    here.searchParams.set("b", form.dataset.b);
    here.searchParams.set("job", job.id);
    history.replaceState(null, "", here); // a reload, or the address sent to another device, shows the result again
    return job;
  });
}

/** The job that the address names: its result, or how far it is. */
async function again(id) {
  await watched(() => api(`/jobs/${encodeURIComponent(id)}`));
}

async function watched(ask) {
  const button = form.querySelector("button.main");
  button.disabled = true;
  try {
    const job = await ask();
    const ended = hasEnded(job) ? job : await followHere(form.parentElement, job);
    if (ended.status === "succeeded" && ended.result.pairs) show(ended.result);
    else if (ended.status === "failed") toast(ended.error?.message ?? "The comparison failed.", { bad: true });
  } catch (error) {
    showErrors(form, error);
  } finally {
    button.disabled = false;
  }
}

function show(result) {
  const place = document.querySelector("[data-result]");
  const [a, b] = [form.dataset.a, form.dataset.b].map((id) => result.models.find((one) => one.modelId === id));
  if (!a || !b) return; // the address names a job that compared others
  const said = document.createElement("h3");
  said.textContent = verdict(result, a, b);
  const figures = document.createElement("div");
  figures.className = "figures";
  figures.append(...numbers(result, a, b));
  const warnings = document.createElement("ul");
  warnings.className = "soft small";
  warnings.append(...result.warnings.map(warning));
  place.replaceChildren(said, figures, warnings);
  place.classList.remove("hidden");
  place.focus();
}

function verdict({ withheld, verdict: found, level }, a, b) {
  if (withheld) return "No verdict: see below why.";
  if (found === "no_difference") return `No difference that would be certain to ${percent(level)}.`;
  const better = found === "a_better" ? a : b;
  return `${better.modelVersion} is better, with ${percent(level)} certainty.`;
}

function* numbers({ pairs, judgedOn }, a, b) {
  yield figure("Laps", judgedOn.laps);
  yield figure(`Mean error of A, ${a.modelVersion}`, seconds(a.mae));
  yield figure(`Mean error of B, ${b.modelVersion}`, seconds(b.mae));
  if (!pairs.length) return;
  const { meanDifference, interval } = pairs[0]; // a's error less b's: what B errs less, turned round for the reader
  yield figure("B against A, a lap", `${gap(-meanDifference)} s`);
  if (interval.lower !== null && interval.upper !== null) {
    yield figure(`With ${percent(interval.level)} certainty`, `${gap(-interval.upper)} to ${gap(-interval.lower)} s`);
  }
}

function warning(text) {
  const item = document.createElement("li");
  item.textContent = `${text[0].toUpperCase()}${text.slice(1)}.`;
  return item;
}

function seconds(value) {
  return value === null ? "–" : `${value.toFixed(3)} s`;
}

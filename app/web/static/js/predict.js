// Sliders for a moment of a lap, and what the model says of it as they move.

import { api } from "./api.js";
import { gap, lapTime } from "./format.js";
import { told } from "./messages.js";
import { ready } from "./ready.js";

const PAUSE = 120; // milliseconds without a move before it asks
const SHOWN = 6;
const LEAST = 0.0005; // seconds
const form = document.querySelector("[data-predict]");
let waiting = null;
let asked = 0;

if (form) {
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", (event) => {
    const shown = form.querySelector(`output[for="${event.target.id}"]`);
    if (shown) shown.textContent = event.target.value;
    clearTimeout(waiting);
    waiting = setTimeout(ask, PAUSE);
  });
  ready("predict");
  ask();
}

async function ask() {
  const mine = (asked += 1);
  const given = [...new FormData(form)].filter(([, value]) => value !== "");
  const inputData = Object.fromEntries(given.map(([name, value]) => [name, Number(value)]));
  const options = { include_confidence: true, include_feature_importance: true };
  const json = { modelId: form.dataset.predict, inputData, predictionOptions: options };
  try {
    const answer = await api("/model/predict", { method: "POST", json, repeat: true });
    if (mine === asked) show(answer);
  } catch (error) {
    if (mine === asked) wrong(told(error));
  }
}

function show({ predictions, confidence, featureImportance }) {
  document.querySelector("[data-lap-time]").textContent = lapTime(predictions.lap_time);
  document.querySelector("[data-interval]").textContent = confidence
    ? `${lapTime(confidence.lower)} and ${lapTime(confidence.upper)}`
    : "–";
  const moved = Object.entries(featureImportance ?? {}).filter(([, seconds]) => Math.abs(seconds) >= LEAST);
  const largest = moved.sort(([, a], [, b]) => Math.abs(b) - Math.abs(a));
  document.querySelector("[data-importance]").replaceChildren(...largest.slice(0, SHOWN).map(row));
  wrong("");
}

function row([name, seconds]) {
  const item = document.createElement("li");
  const words = document.createElement("span");
  words.textContent = name.replaceAll("_", " ");
  const number = document.createElement("span");
  number.className = `num ${seconds < 0 ? "gain" : "loss"}`;
  number.textContent = gap(seconds);
  item.append(words, number);
  return item;
}

function wrong(text) {
  document.querySelector("[data-wrong]").textContent = text;
}

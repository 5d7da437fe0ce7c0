// Training by hand: the fields of the chosen algorithm, what is wrong beside them, the job, and the new version.

import { api } from "./api.js";
import { choosing } from "./choosing.js";
import { learned } from "./found.js";
import { followHere } from "./jobs.js";
import { clearErrors, showErrors, wrongBeside } from "./messages.js";
import { ready } from "./ready.js";

const form = document.querySelector("[data-train]");
const RANGE = /^(.+?)\s*[=:]\s*(-?[\d.]+)\s*(?:to|–|,|\s)\s*(-?[\d.]+)$/;

if (form) {
  const ids = choosing(form);
  form.elements.modelType.addEventListener("change", offerAlgorithms);
  form.elements.algorithm.addEventListener("change", offerFields);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    train(ids);
  });
  ready("train");
}

function offerAlgorithms() {
  const ones = document.querySelectorAll(`template[data-type="${form.elements.modelType.value}"]`);
  form.elements.algorithm.replaceChildren(...[...ones].map((one) => new Option(one.dataset.label, one.dataset.algorithm)));
  offerFields();
}

function offerFields() {
  const { modelType, algorithm } = form.elements;
  const fields = document.querySelector(`template[data-type="${modelType.value}"][data-algorithm="${algorithm.value}"]`);
  const place = form.querySelector("[data-hyperparameters]");
  place.replaceChildren(place.querySelector("legend"), fields.content.cloneNode(true));
}

async function train(ids) {
  clearErrors(form);
  const button = form.querySelector("button.main");
  const hyperparameters = readHyperparameters();
  const sessionIds = ids();
  if (!hyperparameters || !sessionIds.length) return;
  const { modelType, algorithm, modelName, description } = form.elements;
  const body = { trackName: form.dataset.train, modelType: modelType.value, algorithm: algorithm.value, hyperparameters, sessionIds };
  if (modelName.value.trim()) body.modelName = modelName.value.trim();
  if (description.value.trim()) body.description = description.value.trim();
  button.disabled = true;
  try {
    const job = await api("/model/train", { method: "POST", json: body });
    const ended = await followHere(form, job);
    if (ended.modelId) await learned(form.querySelector("[data-result]"), ended.modelId);
  } catch (error) {
    showErrors(form, error);
  } finally {
    button.disabled = false;
  }
}

/** What stands in the fields, by name; null when something cannot be sent, which then is said beside it. */
function readHyperparameters() {
  const values = {};
  for (const box of form.querySelectorAll("[data-kind]")) {
    const input = box.querySelector("input, select, textarea");
    const value = read(box.dataset.kind, input);
    if (value instanceof Error) {
      wrongBeside(form, input.name, value.message);
      input.focus();
      return null;
    }
    if (value !== undefined) values[input.name] = value;
  }
  return values;
}

function read(kind, input) {
  if (kind === "choice") return input.value;
  if (kind === "ranges") return readRanges(input.value);
  if (input.validity.badInput) return new Error("Write a number.");
  return input.value === "" ? undefined : Number(input.value);
}

function readRanges(text) {
  const ranges = {};
  for (const line of text.split("\n").filter((one) => one.trim())) {
    const [, name, low, high] = RANGE.exec(line.trim()) ?? [];
    if (name === undefined) return new Error(`Write “${line.trim()}” as rear_wing = 1 to 9.`);
    ranges[name.trim()] = [Number(low), Number(high)];
  }
  return ranges;
}

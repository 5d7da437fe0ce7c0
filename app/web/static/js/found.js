// What a file held and what came of it, as the upload page shows it.

import { api } from "./api.js";
import { gap, percent } from "./format.js";

const LAPS_SHOWN = 6; // of those that do not count for one reason

/** A number with what it is, as the macro of that name makes it. */
export function figure(what, value) {
  const box = document.createElement("div");
  box.className = "figure";
  const [name, number] = [document.createElement("span"), document.createElement("b")];
  name.textContent = what;
  number.textContent = value;
  box.append(name, number);
  return box;
}

/** Laps that do not count, by reason. */
export function invalid(laps) {
  const reasons = new Map();
  for (const lap of laps.filter((one) => !one.valid)) reasons.set(lap.reason, [...(reasons.get(lap.reason) ?? []), lap]);
  if (!reasons.size) return [];
  const words = document.createElement("p");
  words.className = "soft small";
  words.textContent = "Laps that do not count: ";
  const parts = [...reasons].map(([reason, of]) => `${reason.replaceAll("_", " ")} (${lapNumbers(of)})`);
  words.append(parts.join("; "));
  return [words];
}

function lapNumbers(laps) {
  const shown = laps.slice(0, LAPS_SHOWN).map((lap) => lap.lap).join(", ");
  return `lap${laps.length > 1 ? "s" : ""} ${shown}${laps.length > LAPS_SHOWN ? ` and ${laps.length - LAPS_SHOWN} more` : ""}`;
}

/** The new version's figures, and how they differ from its parent's. */
export async function learned(place, modelId) {
  const version = await api(`/ai-model/${modelId}`);
  const { mae, accuracy, lapsLearned } = version.modelMetadata;
  const parent = version.parentId ? await api(`/ai-model/${version.parentId}`).catch(() => null) : null;
  const before = parent?.modelMetadata.mae;
  const error = mae === null ? "–" : `${mae.toFixed(3)} s`;
  const figures = document.createElement("div");
  figures.className = "figures";
  figures.append(figure("Version", version.modelVersion), figure("Laps learned", lapsLearned), figure("Mean error", error));
  if (before && mae !== null) figures.append(figure("Against the version before", `${gap(mae - before)} s`));
  if (accuracy !== null) figures.append(figure("Within 0.5 %", percent(accuracy)));
  const link = document.createElement("a");
  link.className = "button";
  link.href = `/models/${modelId}`;
  link.textContent = `See version ${version.modelVersion}`;
  place.replaceChildren(figures, link);
  place.classList.remove("hidden");
}

// A model file dropped or chosen: sent with its progress, refused beside the field, or made a version of the driver's own.

import { upload } from "./api.js";
import { size } from "./format.js";
import { told, wrongBeside } from "./messages.js";
import { ready } from "./ready.js";

for (const form of document.querySelectorAll("[data-import]")) {
  form.addEventListener("submit", (event) => event.preventDefault());
  form.elements.file.addEventListener("change", (event) => {
    const [file] = event.target.files;
    if (file) bringIn(form, file).finally(() => Object.assign(event.target, { value: "" }));
  });
  for (const kind of ["dragover", "dragleave", "drop"]) {
    form.addEventListener(kind, (event) => {
      event.preventDefault();
      form.classList.toggle("over", kind === "dragover");
      if (kind === "drop") dropped(form, [...event.dataTransfer.files]);
    });
  }
}

ready("import");

function dropped(form, files) {
  if (files.length === 1) bringIn(form, files[0]);
  else wrongBeside(form, "file", files.length ? "Drop one file at a time." : "Drop a file.");
}

async function bringIn(form, file) {
  if (form.elements.file.disabled) return; // one at a time
  wrongBeside(form, "file", "");
  form.querySelector("[data-result]").classList.add("hidden");
  const most = Number(form.dataset.mostBytes);
  if (file.size > most) return wrongBeside(form, "file", `${file.name} is too large: a model file may have ${size(most)}.`);
  const body = new FormData();
  body.append("file", file, file.name);
  const query = form.elements.activate.checked ? "?activate=true" : "";
  form.elements.file.disabled = true;
  sent(form, 0, file.name);
  try {
    const progress = (share) => sent(form, share, file.name);
    show(form, await upload(`/ai-model/import${query}`, body, { progress }));
  } catch (error) {
    refused(form, error, file.name);
  } finally {
    form.elements.file.disabled = false;
    form.querySelector("[data-sending]").classList.add("hidden");
  }
}

function sent(form, share, name) {
  form.querySelector("[data-sending]").classList.remove("hidden");
  const bar = form.querySelector("progress");
  if (share < 1) bar.value = share;
  else bar.removeAttribute("value");
  form.querySelector("[data-state]").textContent = share < 1 ? `sending ${name}` : `checking ${name}`;
}

function show(form, version) {
  const words = document.createElement("p");
  words.textContent = `${version.modelName} is in as version ${version.modelVersion}${version.isActive ? ", and active" : ""}.`;
  const place = form.querySelector("[data-result]");
  place.replaceChildren(words, link(version.id, version.modelVersion));
  place.classList.remove("hidden");
}

/** Why it was not taken; a model that is here already leads to its version. */
function refused(form, error, name) {
  const reason = error.details?.file ?? told(error);
  wrongBeside(form, "file", `${name} was not taken: ${Array.isArray(reason) ? reason.join(" ") : reason}`);
  if (error.code !== "model_exists") return;
  form.querySelector("#bundle-wrong").append(" ", link(error.details.modelId, error.details.modelVersion));
}

function link(id, number) {
  const made = document.createElement("a");
  made.className = "button small";
  made.href = `/models/${id}`;
  made.textContent = `See version ${number}`;
  return made;
}

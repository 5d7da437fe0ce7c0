// Upload: files one after the other, each read and shown before it is learned, then its jobs and the new version.

import { api, upload } from "./api.js";
import { lapTime, size } from "./format.js";
import { figure, invalid, learned } from "./found.js";
import { follow, show } from "./jobs.js";
import { confirmed, sentences, told, toast } from "./messages.js";
import { ready } from "./ready.js";

const TYPES = { lap_time_prediction: "Lap time", sector_analysis: "Sectors", setup_optimization: "Setup" };
const form = document.getElementById("drop");
const list = document.getElementById("list");
const learnAll = document.getElementById("learn-all");
const most = Number(form.dataset.mostBytes);
const entries = [];
let busy = false;

/** A file on the page: `session` once it has been read. */
class Entry {
  constructor(file) {
    this.file = file;
    this.session = null;
    this.state = "waiting";
    this.asked = {};
    this.element = document.getElementById("file").content.firstElementChild.cloneNode(true);
    this.part("name").textContent = file.name;
    this.part("size").textContent = size(file.size);
    this.bar.setAttribute("aria-label", `Upload of ${file.name}`);
    this.part("learn").addEventListener("click", () => this.learn());
    this.stopping = new AbortController();
    this.part("stop").setAttribute("aria-label", `Stop the upload of ${file.name}`);
    this.part("stop").addEventListener("click", () => this.stop());
    this.part("remove").addEventListener("click", () => this.remove());
    this.part("ask").addEventListener("submit", (event) => {
      event.preventDefault();
      this.again();
    });
    list.append(this.element);
  }

  part(name) {
    return this.element.querySelector(`[data-${name}]`);
  }

  get bar() {
    return this.element.querySelector("progress");
  }

  says(state, tag, look = "", words = "") {
    this.state = state;
    this.part("status").textContent = tag;
    this.part("status").className = `tag ${look}`;
    this.part("told").textContent = words;
    this.part("told").classList.toggle("wrong", look === "bad");
    this.part("sending").classList.toggle("hidden", !["waiting", "sending", "reading"].includes(state));
  }

  /** Sends the file and shows what was found in it. */
  async read() {
    if (this.file.size > most) return this.says("refused", "too large", "bad", `A file may have ${size(most)}.`);
    this.says("sending", "sending", "busy");
    try {
      const answer = await upload("/racing-session/upload", this.form(), {
        progress: (share) => this.sent(share),
        signal: this.stopping.signal,
      });
      this.session = answer.session;
      this.says("read", "read", "good");
      await this.found(answer.jobs);
    } catch (error) {
      if (error.name === "AbortError") this.drop();
      else this.refused(error);
    }
  }

  sent(share) {
    if (share < 1) this.bar.value = share;
    else if (this.state === "sending") {
      this.says("reading", "reading its laps", "busy");
      this.bar.removeAttribute("value");
    }
  }

  form() {
    const sent = new FormData();
    sent.append("file", this.file, this.file.name);
    sent.append("autoTrain", "false");
    sent.append("sessionName", this.file.name.replace(/(\.(gz|zst|csv|json|jsonl|parquet|ld|ibt))+$/i, "").slice(0, 200));
    const values = { trackName: form.elements.trackName.value, carModel: form.elements.carModel.value, ...this.asked };
    for (const [name, value] of Object.entries(values)) if (value.trim()) sent.append(name, value.trim());
    const setup = readSetup();
    if (setup) sent.append("setup", JSON.stringify(setup));
    return sent;
  }

  /** What is wrong, in words; where the driver can say what is missing, a field for it. */
  refused(error) {
    if (error.details?.choices) {
      this.says("asking", "needs a driver", "warn", error.message);
      this.ask("driver", "Whose laps?", error.details.choices);
    } else if (error.details?.trackName) {
      this.says("asking", "needs a track", "warn", sentences(error.details.trackName));
      this.ask("trackName", "Which track?");
    } else this.says("refused", "not taken", "bad", told(error));
  }

  ask(name, label, choices = null) {
    const text = this.part("ask-text");
    const choice = this.part("ask-choice");
    const field = choices ? choice : text;
    field.id = `ask-${entries.indexOf(this)}`;
    this.part("ask-label").htmlFor = field.id;
    this.part("ask-label").textContent = label;
    text.classList.toggle("hidden", Boolean(choices));
    choice.classList.toggle("hidden", !choices);
    choice.replaceChildren(...(choices ?? []).map((one) => new Option(one)));
    if (!choices) text.setAttribute("list", "tracks");
    this.asking = [name, field];
    this.part("ask").classList.remove("hidden");
    if (entries.filter((entry) => entry.state === "asking").length === 1) field.focus();
  }

  /** Reads the file again with what was asked for; a track is that of the other files that lack one, too. */
  again() {
    const [name, field] = this.asking;
    if (!field.value.trim()) return;
    const others = entries.filter((entry) => name === "trackName" && entry.state === "asking" && entry.asking[0] === name);
    for (const entry of new Set([this, ...others])) {
      entry.asked[name] = field.value;
      entry.part("ask").classList.add("hidden");
      entry.says("waiting", "waits");
    }
    work();
  }

  async found(jobs) {
    const laps = await api(`/racing-session/${this.session.id}/laps`);
    const { trackName, carModel, lapsCount, validLapsCount, bestLapTime, format, id } = this.session;
    this.part("figures").replaceChildren(
      figure("Track", trackName), figure("Car", carModel ?? "not told"), figure("Laps found", lapsCount),
      figure("Laps that count", validLapsCount), figure("Best lap", lapTime(bestLapTime)), figure("Format", format),
    );
    this.part("invalid").replaceChildren(...invalid(laps));
    this.part("session").href = `/sessions/${id}`;
    this.part("found").classList.remove("hidden");
    const isKnown = jobs.length > 0;
    this.part("learn").classList.toggle("hidden", isKnown || !validLapsCount);
    if (isKnown) this.says("learning", "uploaded before", "", "This file was uploaded before; here is what became of it.");
    else if (!validLapsCount) this.says("read", "nothing to learn", "warn", "None of its laps counts, so there is nothing to learn.");
    await this.follow(jobs);
  }

  async learn() {
    if (this.state !== "read" || !this.session?.validLapsCount) return;
    this.says("learning", "learning", "busy");
    this.part("learn").classList.add("hidden");
    refresh();
    try {
      const { jobs } = await api(`/racing-session/${this.session.id}/learn`, { method: "POST", repeat: true });
      this.follow(jobs).catch((error) => toast(told(error), { bad: true })); // the next file need not wait for it
    } catch (error) {
      this.says("read", "read", "good");
      this.part("learn").classList.remove("hidden");
      toast(told(error), { bad: true });
    }
  }

  async follow(jobs) {
    const ended = await Promise.all(jobs.map((job) => this.followOne(job)));
    if (!ended.length) return;
    const failed = ended.some((job) => job.status === "failed");
    this.says("done", failed ? "not learned" : "learned", failed ? "bad" : "good");
  }

  async followOne(job) {
    const row = document.getElementById("job").content.firstElementChild.cloneNode(true);
    row.querySelector("[data-job-name]").textContent = `Learning · ${TYPES[job.modelType]}`;
    row.querySelector("progress").setAttribute("aria-label", `Learning ${this.file.name}`);
    this.part("jobs").append(row);
    const ended = await follow(job.id, (now) => show(row, now));
    if (ended.modelId) await learned(row.querySelector("[data-learned]"), ended.modelId);
    return ended;
  }

  async remove() {
    const sure = await confirmed({
      title: `Remove ${this.file.name}?`,
      text: "The session and its telemetry go. Versions that learned it stay.",
      action: "Remove",
      danger: true,
    });
    if (!sure) return;
    try {
      await api(`/racing-session/${this.session.id}`, { method: "DELETE" });
    } catch (error) {
      toast(told(error), { bad: true });
      return;
    }
    toast(`${this.file.name} was removed.`);
    this.drop();
  }

  stop() {
    this.stopping.abort();
    if (this.state === "waiting") this.drop();
  }

  drop() {
    entries.splice(entries.indexOf(this), 1);
    this.element.remove();
    refresh();
  }
}

/** The setup as typed; null when it is empty. Throws what stands beside the field. */
function readSetup() {
  const place = document.getElementById("setup-wrong");
  place.textContent = "";
  const lines = form.elements.setup.value.split("\n").filter((line) => line.trim());
  const setup = {};
  for (const line of lines) {
    const [name, value] = line.split(/[=:]/).map((part) => part.trim());
    if (!name || !value || Number.isNaN(Number(value))) {
      place.textContent = `Write “${line.trim()}” as name = number.`;
      throw Object.assign(new Error("The setup cannot be read; correct it and try again."), { details: {} });
    }
    setup[name] = Number(value);
  }
  return lines.length ? setup : null;
}

/** Reads what waits, one file after the other, in the order in which they will be learned. */
async function work() {
  if (busy) return;
  busy = true;
  for (let next = waiting(); next; next = waiting()) {
    await next.read();
    refresh();
  }
  busy = false;
  refresh();
}

function waiting() {
  return entries.find((entry) => entry.state === "waiting");
}

function refresh() {
  document.getElementById("read").classList.toggle("hidden", !entries.length);
  const ready = entries.filter((entry) => entry.state === "read" && entry.session?.validLapsCount);
  learnAll.disabled = busy || !ready.length;
  learnAll.textContent = ready.length > 1 ? `Learn all ${ready.length}` : "Learn all";
}

function take(files) {
  const byName = new Intl.Collator(undefined, { numeric: true });
  const sorted = [...files].sort((a, b) => byName.compare(a.name, b.name));
  for (const file of sorted) entries.push(new Entry(file));
  refresh();
  work();
}

form.addEventListener("submit", (event) => event.preventDefault());
form.elements.files.addEventListener("change", (event) => {
  take(event.target.files);
  event.target.value = "";
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  form.addEventListener(kind, (event) => {
    event.preventDefault();
    form.classList.toggle("over", kind === "dragover");
    if (kind === "drop") take(event.dataTransfer.files);
  });
}
learnAll.addEventListener("click", async () => {
  for (const entry of entries.filter((one) => one.state === "read")) await entry.learn();
});
window.addEventListener("beforeunload", (event) => {
  if (busy) event.preventDefault();
});
ready("upload");

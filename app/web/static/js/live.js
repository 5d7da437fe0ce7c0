// The live part of the page: a recorded lap is chosen and driven once more, and what is predicted is drawn as it comes.

import { api } from "./api.js";
import { gap, lapTime } from "./format.js";
import { told } from "./messages.js";
import { ready } from "./ready.js";
import { framesOf, Replay } from "./replay.js";

const POINTS = 800;
const ROOM = 1.5; // seconds that are shown above and below the lap's time
const box = document.querySelector("[data-live]");
const form = box?.querySelector("form");
let replay = null;
let drawing = 0;
let turn = 0; // of choosing and starting: what an earlier one still gets is left aside

if (form) {
  form.elements.session.addEventListener("change", listLaps);
  form.elements.lap.addEventListener("change", () => stop("Stopped, for another lap was chosen."));
  form.elements.pace.addEventListener("input", () => {
    form.querySelector("output").textContent = form.elements.pace.value;
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (replay) turnOver();
    else play();
  });
  form.querySelector("[data-stop]").addEventListener("click", () => stop("Stopped."));
  ready("live");
  listLaps();
}

async function listLaps() {
  stop("Stopped, for another session was chosen.");
  const mine = (turn += 1);
  playable(false);
  say("Looking for its laps …");
  form.elements.lap.replaceChildren();
  try {
    const laps = await api(`/racing-session/${form.elements.session.value}/laps`);
    if (mine !== turn) return;
    const options = laps.filter((lap) => lap.valid && lap.lapTime !== null).map(option);
    form.elements.lap.replaceChildren(...options);
    playable(options.length > 0);
    say(options.length ? "Choose a lap and play it." : "No lap of this session counts; choose another session.");
  } catch (error) {
    if (mine === turn) say(told(error));
  }
}

function option(lap) {
  const made = document.createElement("option");
  made.value = lap.lap;
  made.textContent = `lap ${lap.lap} · ${lapTime(lap.lapTime)}`;
  return made;
}

async function play() {
  const mine = (turn += 1);
  const { session, lap, pace } = form.elements;
  playable(false);
  say("Loading the lap …");
  try {
    const trace = await api(`/racing-session/${session.value}/laps/${lap.value}/trace?points=${POINTS}`);
    if (mine !== turn) return;
    const frames = framesOf(trace);
    const on = shownBy(frames, trace.lapTime);
    say("Connecting …");
    replay = new Replay(box.dataset.live, frames, { pace: () => Number(pace.value), on });
    controls();
  } catch (error) {
    if (mine === turn) say(told(error));
  }
  if (mine === turn) playable(true);
}

function shownBy(frames, real) {
  const seen = [];
  set("real", lapTime(real));
  return {
    said: say,
    answered: ({ id, confidence, predictions }) => {
      seen.push({ at: frames[id].track_position, ...confidence, time: predictions.lap_time });
      drawing ||= requestAnimationFrame(() => show(seen, real));
    },
    ended: (why) => {
      replay = null;
      controls();
      say(why ?? verdict(seen, real));
    },
  };
}

function verdict(seen, real) {
  const half = seen.find(({ at }) => at >= 0.5);
  const off = ({ time }) => `${lapTime(time)}, ${gap(time - real)} from what it was`;
  const before = half ? `; at half the lap it said ${off(half)}` : "";
  return `Driven. At the line it said ${off(seen.at(-1))}${before}.`;
}

function turnOver() {
  replay.pause(!replay.paused);
  controls();
}

function stop(why) {
  turn += 1;
  replay?.stop(why);
  playable(form.elements.lap.value !== "");
}

function show(seen, real) {
  drawing = 0;
  const last = seen.at(-1);
  set("now", lapTime(last.time));
  set("band", last.lower === undefined ? "–" : `${lapTime(last.lower)} and ${lapTime(last.upper)}`);
  set("place", `${Math.round(last.at * 100)} %`);
  const x = (one) => (one.at * 1000).toFixed(1);
  const y = (time) => (130 - (Math.max(-ROOM, Math.min(ROOM, time - real)) / ROOM) * 120).toFixed(1);
  const along = (points, of) => points.map((one) => `${x(one)},${y(of(one))}`).join("L");
  const path = (name, d) => box.querySelector(`.live .${name}`).setAttribute("d", d);
  path("line", `M${along(seen, (one) => one.time)}`);
  path("real", "M0,130L1000,130");
  const wide = seen.filter((one) => one.lower !== undefined);
  if (wide.length) path("band", `M${along(wide, (one) => one.lower)}L${along([...wide].reverse(), (one) => one.upper)}Z`);
}

function set(name, text) {
  box.querySelector(`[data-${name}]`).textContent = text;
}

function say(text) {
  box.querySelector("[data-said]").textContent = text;
}

function controls() {
  form.querySelector("[data-stop]").disabled = !replay;
  form.querySelector("[data-play]").textContent = !replay ? "Play" : replay.paused ? "Go on" : "Pause";
}

function playable(yes) {
  form.querySelector("[data-play]").disabled = !yes;
}

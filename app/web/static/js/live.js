// A recorded lap is driven once more: its frames go through the live WebSocket, and what comes back is drawn as it comes.

import { api } from "./api.js";
import { gap, lapTime } from "./format.js";
import { told, toast } from "./messages.js";

const POINTS = 800;
const ROOM = 1.5; // of the widest interval shown, in seconds, above and below the lap's time
const box = document.querySelector("[data-live]");
const form = box?.querySelector("form");
let stop = () => {};

if (form) {
  form.elements.session.addEventListener("change", listLaps);
  form.elements.pace.addEventListener("input", () => {
    form.querySelector("output").textContent = form.elements.pace.value;
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    play();
  });
  form.querySelector("[data-stop]").addEventListener("click", () => stop("Stopped."));
  listLaps();
}

async function listLaps() {
  try {
    const laps = await api(`/racing-session/${form.elements.session.value}/laps`);
    const options = laps.filter((lap) => lap.valid && lap.lapTime !== null).map((lap) => {
      const option = document.createElement("option");
      option.value = lap.lap;
      option.textContent = `lap ${lap.lap} · ${lapTime(lap.lapTime)}`;
      return option;
    });
    form.elements.lap.replaceChildren(...options);
  } catch (error) {
    toast(told(error), { bad: true });
  }
}

async function play() {
  stop("");
  try {
    const { session, lap } = form.elements;
    if (!lap.value) return say("No lap of this session counts; choose another.");
    run(await api(`/racing-session/${session.value}/laps/${lap.value}/trace?points=${POINTS}`));
  } catch (error) {
    say(told(error));
  }
}

function run(trace) {
  const { channels, position, lapTime: real } = trace;
  const address = `/ai-model/${box.dataset.live}/live?include_confidence=true`;
  const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}${address}`, ["lapwise.live"]);
  const seen = [];
  let timer = null;
  let next = 0;
  stop = (why) => {
    stop = () => {};
    clearInterval(timer);
    socket.close();
    playing(false);
    say(why);
  };
  playing(true);
  set("real", lapTime(real));
  say("Connecting …");
  socket.addEventListener("open", () => {
    const began = performance.now();
    say("Playing.");
    timer = setInterval(() => {
      const now = ((performance.now() - began) / 1000) * Number(form.elements.pace.value);
      let newest = next;
      while (newest < POINTS - 1 && channels.current_lap_time[newest] <= now) newest += 1;
      if (newest === next && next > 0) return;
      next = newest;
      if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame(channels, position, next)));
      if (next >= POINTS - 1) clearInterval(timer);
    }, 1000 / 60);
  });
  socket.addEventListener("message", ({ data }) => {
    const answer = JSON.parse(data);
    if (answer.error) return say(answer.error.message);
    seen.push({ at: position[answer.id], ...answer.confidence, time: answer.predictions.lap_time });
    show(seen, real);
    if (answer.id >= POINTS - 1) {
      const last = seen[Math.floor(seen.length / 2)];
      stop(`Driven. At half the lap it said ${lapTime(last.time)}, ${gap(last.time - real)} from what it was.`);
    }
  });
  socket.addEventListener("close", ({ code }) => stop(code === 4401 ? "The sign-in has ended." : "The connection has ended; play again."));
}

function frame(channels, position, index) {
  const value = (name, otherwise) => channels[name]?.[index] ?? otherwise;
  return {
    id: index,
    trackPosition: position[index],
    currentLapTime: value("current_lap_time", 0),
    speed: value("speed", 0),
    throttle: value("throttle", 0),
    brake: value("brake", 0),
    gear: value("gear", 0),
  };
}

function show(seen, real) {
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
  if (text) box.querySelector("[data-said]").textContent = text;
}

function playing(yes) {
  form.querySelector("[data-stop]").disabled = !yes;
}

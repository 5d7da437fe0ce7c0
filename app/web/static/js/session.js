// A session: any two of its laps laid over each other, chosen in the table.

import { gap, lapTime } from "./format.js";
import { ready } from "./ready.js";
import { Traces } from "./traces.js";

const PAUSE = 200; // milliseconds without a change before it draws: arrow keys go through laps quickly
const section = document.querySelector("[data-traces]");
const traces = new Traces(section);
let waiting = null;

function chosen(name) {
  const { lap, time } = document.querySelector(`[data-laps] input[name="${name}"]:checked`).closest("[data-lap]").dataset;
  return { lap, time: time ? Number(time) : null };
}

function show() {
  const [a, b] = [chosen("a"), chosen("b")];
  return traces.show(`${section.dataset.traces}/${a.lap}/${b.lap}`);
}

function told() {
  const [a, b] = [chosen("a"), chosen("b")];
  const write = (what, text) => {
    section.querySelector(`[data-shown="${what}"]`).textContent = text;
  };
  write("lap-a", a.lap);
  write("lap-b", b.lap);
  write("time-a", lapTime(a.time));
  write("time-b", lapTime(b.time));
  write("gap", gap(a.time === null || b.time === null ? null : b.time - a.time));
  history.replaceState(null, "", `?a=${a.lap}&b=${b.lap}`);
}

const table = document.querySelector("[data-laps]");
const box = table.parentElement;
box.scrollTop = table.querySelector("input[name=b]:checked").closest("tr").offsetTop - box.clientHeight / 2;
table.addEventListener("change", () => {
  told();
  clearTimeout(waiting);
  waiting = setTimeout(show, PAUSE);
});
ready("session");
show();

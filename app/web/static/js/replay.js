// One recorded lap through the live WebSocket, at any pace; when the connection breaks it goes on where the answers ended.

import { api } from "./api.js";
import { told } from "./messages.js";

const NEEDED = ["speed", "throttle", "brake", "gear"];
const CONDITIONS = ["fuel", "tyre_life", "air_temp", "road_temp", "wetness"];
const TICK = 1000 / 60;
const TRIES = 5;
const FIRST_WAIT = 500; // milliseconds; each further try waits twice as long
const MODEL_GONE = 4404;
const SIGN_IN_ENDED = 4401;

/** The frames of a lap as the live connection takes them; `id` is the place in the list. */
export function framesOf({ channels, position }) {
  const missing = NEEDED.filter((name) => !channels[name]?.some((value) => value !== null));
  if (missing.length) throw new Error(`This lap has no ${missing.join(", ")}; choose another.`);
  const given = [...NEEDED, ...CONDITIONS.filter((name) => channels[name])];
  const whole = [...position.keys()].filter((index) => NEEDED.every((name) => channels[name][index] !== null));
  return whole.map((index, id) => {
    const frame = { id, track_position: position[index], current_lap_time: channels.current_lap_time[index] };
    for (const name of given) if (channels[name][index] !== null) frame[name] = channels[name][index];
    return frame;
  });
}

/** Plays frames to a model; `on` is told `answered(answer)`, `said(text)` and, once, `ended(why)`: null at the lap's end. */
export class Replay {
  constructor(model, frames, { pace, on }) {
    Object.assign(this, { model, frames, pace, on, paused: false, over: false });
    this.sent = 0; // frames that have gone out
    this.answered = -1; // the newest with an answer
    this.lapTime = frames[0].current_lap_time; // where the car is, in seconds of the lap
    this.tries = 0;
    this.timer = setInterval(() => this.tick(), TICK);
    this.before = performance.now();
    this.connect();
  }

  pause(yes) {
    this.paused = yes;
    if (!yes && !this.socket) this.again();
    else this.on.said(yes ? "Paused." : "Playing.");
  }

  stop(why) {
    if (this.over) return;
    this.over = true;
    clearInterval(this.timer);
    clearTimeout(this.waiting);
    this.socket?.close();
    this.on.ended(why);
  }

  connect() {
    const address = `/ai-model/${this.model}/live?include_confidence=true`;
    this.socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}${address}`, ["lapwise.live"]);
    this.socket.addEventListener("open", () => !this.over && this.on.said(this.paused ? "Paused." : "Playing."));
    this.socket.addEventListener("message", ({ data }) => !this.over && this.take(JSON.parse(data)));
    this.socket.addEventListener("close", ({ code }) => !this.over && this.lost(code));
  }

  tick() {
    const now = performance.now();
    const passed = (now - this.before) / 1000;
    this.before = now;
    if (this.paused || this.socket?.readyState !== WebSocket.OPEN) return;
    this.lapTime += passed * this.pace();
    while (this.sent < this.frames.length && this.frames[this.sent].current_lap_time <= this.lapTime) {
      this.socket.send(JSON.stringify(this.frames[this.sent]));
      this.sent += 1;
    }
  }

  take(answer) {
    this.tries = 0;
    this.answered = answer.id;
    if (answer.error) this.on.said(answer.error.message);
    else this.on.answered(answer);
    if (answer.id === this.frames.length - 1) this.stop(answer.error ? answer.error.message : null);
  }

  lost(code) {
    this.socket = null;
    if (code === MODEL_GONE) return this.stop("This version was removed, or is no longer shared with you.");
    if (this.paused) return; // going on connects
    this.again(code === SIGN_IN_ENDED ? "Renewing the sign-in …" : "The connection has ended; connecting again …");
  }

  again(text = "Connecting …") {
    if (this.tries === TRIES) return this.stop("There is no live connection to be had. Close others of yours, or play again later.");
    this.on.said(text);
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.resume(), FIRST_WAIT * 2 ** this.tries);
    this.tries += 1;
  }

  /** Asks for the version first: that renews a sign-in which has expired, and says so when there is no such version. */
  async resume() {
    try {
      await api(`/ai-model/${this.model}`);
    } catch (error) {
      return this.stop(told(error));
    }
    if (this.over || this.socket) return; // it was asked for twice
    this.sent = this.answered + 1;
    this.lapTime = this.frames[this.sent].current_lap_time;
    this.connect();
  }
}

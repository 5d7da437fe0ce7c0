// Two laps laid over each other: one cursor in all charts and on the map, by mouse, finger or keys; one zoom for all.

import { Drawing } from "./charts.js";
import { gap, percent } from "./format.js";

const STEPS = 600; // of the cursor along the lap
const CLOSER = 2; // how many times closer a zoom is
const WHOLE = (value) => value.toFixed(0);
const WRITTEN = { speed: WHOLE, gear: WHOLE, throttle: percent, brake: percent };
const MOUSE = matchMedia("(pointer: fine)"); // a finger on a chart scrolls the page

/** The charts of a section; `show(url)` draws those of a pair of laps. */
export class Traces {
  constructor(section) {
    this.section = section;
    this.slider = section.querySelector("#cursor");
    const places = [...section.querySelectorAll("[data-root]")];
    this.drawing = new Drawing(places, { ready: (views) => this.ready(views) });
    this.slider.addEventListener("input", () => this.move(this.slider.value / STEPS));
    for (const place of places) place.addEventListener("pointermove", (event) => this.pointed(place, event));
    for (const button of section.querySelectorAll("[data-zoom]")) {
      button.addEventListener("click", () => this.zoom(button.dataset.zoom));
    }
  }

  show(url) {
    this.charts = null;
    return this.drawing.show(url);
  }

  ready(views) {
    if (!views.length) return; // laps without any of the channels
    const named = (name) => views[0].model.document.get_model_by_name(name);
    this.charts = new Map(views.map((view) => [view.model.name, view]));
    this.data = named("traces").data;
    this.dot = named("dot");
    this.changes = named("pieces")?.data.change;
    this.along = named("along");
    this.along.change.connect(() => this.later());
    for (const view of views) {
      view.model.properties.inner_width.change.connect(() => this.later());
      for (const tool of view.model.toolbar.tools) if (MOUSE.matches) tool.active = true;
    }
    this.move(this.slider.value / STEPS);
  }

  /** The cursor is at a share of the lap. */
  move(share) {
    this.share = Math.min(Math.max(share, 0), 1);
    this.slider.value = Math.round(this.share * STEPS);
    const { start, end } = this.along ?? { start: 0, end: 1 };
    const out = this.share < start ? this.share - start : this.share > end ? this.share - end : 0;
    if (out) this.along.setv({ start: start + out, end: end + out });
    this.later();
  }

  /** Shows where the cursor is, once before the next picture. */
  later() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      if (this.charts) this.tell();
    });
  }

  tell() {
    const at = Math.round(this.share * (this.data.position.length - 1));
    const said = [];
    for (const box of this.section.querySelectorAll("[data-trace]")) {
      const view = this.charts.get(box.dataset.trace);
      if (!view) continue;
      said.push(this.values(box, box.dataset.trace, at));
      this.line(box, view);
    }
    this.slider.setAttribute("aria-valuetext", `${percent(this.share)}: ${said.join("; ")}`);
    const change = this.changes?.[Math.min(Math.floor(this.share * this.changes.length), this.changes.length - 1)];
    const here = `at ${(100 * this.share).toFixed(1)} %`;
    this.section.querySelector("[data-here]").textContent = Number.isFinite(change) ? `${here}, ${gap(change)} s in this stretch` : here;
    if (this.dot) this.dot.data = { x: [this.data.x[at]], y: [this.data.y[at]] };
  }

  /** Writes the values of a chart at the cursor; what was written. */
  values(box, name, at) {
    const given = name === "gap" ? { gap: this.data.gap[at] } : { a: this.data[`${name}_a`][at], b: this.data[`${name}_b`][at] };
    const words = Object.entries(given).map(([lap, value]) => {
      const place = box.querySelector(`[data-value="${lap}"]`);
      place.textContent = Number.isNaN(value) ? "–" : (WRITTEN[name] ?? gap)(value);
      return place.textContent;
    });
    return `${name} ${words.join(" and ")}`;
  }

  line(box, view) {
    const [line, place] = [box.querySelector(".cursor"), box.querySelector("[data-root]")];
    const { left, top, width, height } = view.frame.bbox;
    const x = view.frame.x_scale.compute(this.share);
    line.hidden = x < left - 1 || x > left + width + 1;
    line.style.height = `${height}px`;
    line.style.transform = `translate(${place.offsetLeft + x}px, ${place.offsetTop + top}px)`;
  }

  pointed(place, event) {
    const view = this.charts?.get(place.dataset.root);
    if (!view || event.buttons) return; // a drag moves the chart under the cursor
    const { left, top } = place.getBoundingClientRect();
    const x = view.frame.x_scale.invert(event.clientX - left);
    this.move(place.dataset.root === "map" ? this.nearest(x, view.frame.y_scale.invert(event.clientY - top)) : x);
  }

  /** The share of the lap at which the car was nearest to a place on the map. */
  nearest(x, y) {
    let best = { index: 0, far: Infinity };
    for (const [index, there] of this.data.x.entries()) {
      const far = Math.hypot(there - x, this.data.y[index] - y);
      if (far < best.far) best = { index, far };
    }
    return best.index / (this.data.x.length - 1);
  }

  zoom(how) {
    if (!this.charts) return;
    const { start, end, min_interval: least } = this.along;
    const wanted = { in: (end - start) / CLOSER, out: (end - start) * CLOSER, all: 1 }[how];
    const width = Math.min(Math.max(wanted, least), 1);
    const from = Math.min(Math.max(this.share - width / 2, 0), 1 - width);
    this.along.setv({ start: from, end: from + width });
  }
}

// Charts: Bokeh figures from the server, in the page's theme, drawn again when the theme changes.
// BokehJS takes a tenth of a second to start, so it is run here, when the page itself is there. A figure must not hold
// CustomJS, which the page's policy forbids: link figures from modules, by the models of the views that `ready` gets.

import { api } from "./api.js";
import { theme } from "./theme.js";

let loading = null;
if (document.getElementById("bokeh")) bokeh().catch(() => {}); // a chart says so, and tries again

/** BokehJS, once it is there. */
function bokeh() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = document.getElementById("bokeh").href;
    script.addEventListener("load", () => resolve(window.Bokeh));
    script.addEventListener("error", () => {
      loading = null;
      reject(new Error("The charts' program could not be loaded."));
    });
    document.head.append(script);
  });
  return loading;
}

/** Lets the page answer before more is done. */
function pause() {
  return new Promise((resolve) => setTimeout(resolve));
}

/**
 * Puts the figure that `url` answers into an element, and keeps it in the page's theme.
 *
 * `ready(view, element)` is called each time it was drawn, with Bokeh's root view; `view.model` is the figure.
 */
export async function chart(element, url, { ready = () => {} } = {}) {
  await new Drawing([element], { ready: ([view]) => ready(view, element) }).show(url);
}

/**
 * Figures that come as one document, each drawn in the place whose `data-root` is its name, or in the only place.
 *
 * They are drawn one after the other, with pauses in which the page answers. A place (or the `data-trace` around it)
 * whose figure is not in the document is hidden. `ready(views)` is called each time all were drawn.
 */
export class Drawing {
  constructor(places, { ready }) {
    Object.assign(this, { places, ready, url: null, asked: 0, shown: new Map() });
    document.addEventListener("themechange", () => this.url && this.show(this.url));
  }

  async show(url) {
    const mine = (this.asked += 1);
    this.url = url;
    for (const place of this.places) place.classList.add("waits");
    try {
      const { doc } = await api(`${url}${url.includes("?") ? "&" : "?"}theme=${theme()}`);
      await this.draw(doc, () => mine !== this.asked);
    } catch (error) {
      if (mine === this.asked) this.failed(error);
    } finally {
      if (mine === this.asked) for (const place of this.places) place.classList.remove("waits");
    }
  }

  async draw(doc, isOld) {
    const Bokeh = await bokeh();
    const { Document } = Bokeh.require("@bokehjs/document");
    const { ViewManager } = Bokeh.require("@bokehjs/core/view_manager");
    await pause();
    const drawn = Document.from_json(doc);
    drawn.views_manager = new ViewManager();
    const named = (root) => this.places.find((place) => place.dataset.root === root.name);
    const places = new Map(drawn.roots().map((root) => [named(root) ?? this.places[0], root]));
    for (const place of this.places) (place.closest("[data-trace]") ?? place).hidden = !places.has(place);
    for (const [place, root] of places) {
      await pause();
      const view = await drawn.views_manager.build_view(root);
      await pause();
      if (isOld()) return; // a newer one is on its way
      this.shown.get(place)?.remove();
      place.replaceChildren();
      view.build(place);
      view.canvas.events_el.removeAttribute("tabindex"); // nothing on it is done by keys
      this.shown.set(place, view);
      place.classList.remove("waits");
    }
    this.ready([...places.keys()].map((place) => this.shown.get(place)));
  }

  failed(error) {
    for (const view of this.shown.values()) view.remove();
    this.shown.clear();
    for (const place of this.places) place.replaceChildren();
    const box = document.createElement("div");
    box.className = "state failed";
    const words = document.createElement("p");
    words.textContent = `${this.places.length > 1 ? "These charts" : "This chart"} cannot be shown. ${error.message}`;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Try again";
    button.addEventListener("click", () => this.show(this.url));
    box.append(words, button);
    this.places.find((one) => one.offsetParent).replaceChildren(box);
  }
}

/** Draws every chart on the page that names its address in `data-chart`, the visible ones first. */
export function chartAll() {
  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((one) => one.isIntersecting)) {
      watch.unobserve(entry.target);
      chart(entry.target, entry.target.dataset.chart);
    }
  }, { rootMargin: "200px" });
  for (const element of document.querySelectorAll("[data-chart]")) watch.observe(element);
}

// Charts: Bokeh figures from the server, in the page's theme, drawn again when the theme changes.
// The page loads bokeh.min.js before its modules; a figure must not hold CustomJS, which the page's policy forbids:
// link figures from modules, by the models in what `draw` resolves to.

import { api } from "./api.js";
import { theme } from "./theme.js";

/**
 * Puts the figure that `url` answers into an element, and keeps it in the page's theme.
 *
 * `ready(view, element)` is called each time it was drawn, with Bokeh's root view; `view.model` is the figure.
 */
export async function chart(element, url, { ready = () => {} } = {}) {
  let drawn = 0;
  let shown = null;
  const draw = async () => {
    const mine = (drawn += 1);
    element.classList.add("waits");
    try {
      const item = await api(`${url}${url.includes("?") ? "&" : "?"}theme=${theme()}`);
      if (mine !== drawn) return; // a newer one is on its way
      const place = document.createElement("div");
      element.replaceChildren(place);
      shown?.clear();
      shown = await window.Bokeh.embed.embed_item({ ...item, target_id: null }, place);
      ready([...shown][0], element);
    } catch (error) {
      failed(element, error, draw);
    } finally {
      element.classList.remove("waits");
    }
  };
  document.addEventListener("themechange", draw);
  await draw();
}

function failed(element, error, again) {
  const box = document.createElement("div");
  box.className = "state failed";
  const words = document.createElement("p");
  words.textContent = `This chart cannot be shown. ${error.message}`;
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Try again";
  button.addEventListener("click", again);
  box.append(words, button);
  element.replaceChildren(box);
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

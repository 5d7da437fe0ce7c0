// What works only with its module is disabled until that has wired it: a click before would have been lost.

/** Enables what templates mark by `needs(name)`. */
export function ready(name) {
  for (const one of document.querySelectorAll(`[data-needs="${name}"]`)) {
    one.disabled = false;
    one.removeAttribute("data-needs");
  }
}

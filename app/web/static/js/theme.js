// The page's theme: the system's unless the reader chose one, which a cookie tells the server, so nothing flashes.

const DARK = matchMedia("(prefers-color-scheme: dark)");
const YEAR = 365 * 24 * 3600;

/** "light" or "dark", as the page is shown now. */
export function theme() {
  return document.documentElement.dataset.theme ?? (DARK.matches ? "dark" : "light");
}

function choose(name) {
  document.documentElement.dataset.theme = name;
  document.cookie = `theme=${name}; path=/; max-age=${YEAR}; samesite=lax`;
  changed();
}

function changed() {
  const button = document.getElementById("theme");
  button?.setAttribute("aria-label", theme() === "dark" ? "Use the light theme" : "Use the dark theme");
  document.dispatchEvent(new Event("themechange"));
}

export function initTheme() {
  DARK.addEventListener("change", changed);
  document.getElementById("theme")?.addEventListener("click", () => choose(theme() === "dark" ? "light" : "dark"));
  changed();
}

"""What a page does to whoever uses it, by Chromium's measure: what jumps, what holds up, what keys reach."""

from collections.abc import Callable

from playwright.sync_api import Page

from tests.browser.driving import settled

# Tasks are those of our scripts, with what they have BokehJS do; that it starts at all is not of our making.
MEASURING = """
window.measured = { shift: 0, jumped: [], longest: 0 };
const watch = (type, seen) =>
  new PerformanceObserver((list) => list.getEntries().forEach(seen)).observe({ type, buffered: true });
watch("layout-shift", (shift) => {
  if (shift.hadRecentInput) return;
  measured.shift += shift.value;
  measured.jumped.push(...shift.sources.map(({ node }) => node?.outerHTML?.slice(0, 120)));
});
watch("long-animation-frame", ({ scripts }) => {
  for (const { invokerType, sourceURL, duration } of scripts) {
    const isStart = invokerType === "classic-script" && sourceURL.endsWith("/bokeh.min.js");
    if (!isStart) measured.longest = Math.max(measured.longest, duration);
  }
});
"""
COUNTING = """() => {
  window.between = [];
  let before = performance.now();
  const count = (now) => {
    between.push(now - before);
    before = now;
    window.counting = requestAnimationFrame(count);
  };
  window.counting = requestAnimationFrame(count);
}"""
COUNTED = """() => {
  cancelAnimationFrame(counting);
  return between.sort((a, b) => a - b)[Math.floor(between.length / 2)];
}"""
FOCUSED = """() => {
  const at = document.activeElement;
  if (!at || at === document.body) return null;
  const { outlineStyle, outlineWidth } = getComputedStyle(at);
  const { bottom, top } = at.getBoundingClientRect();
  const head = at.closest(".top, .skip") ? 0 : document.querySelector(".top").getBoundingClientRect().bottom;
  const marked = outlineStyle !== "none" && parseFloat(outlineWidth) >= 2;
  const name = at.getAttribute("aria-label") ?? at.labels?.[0]?.textContent ?? at.textContent;
  return `${at.tagName} ${name.trim().slice(0, 60)}` + (marked ? "" : ", unmarked") +
    (bottom > head && top < innerHeight ? "" : ", out of sight");
}"""
STOPS = "a[href], button, input, select, textarea, summary, [tabindex='0']"
REACHABLE = f"""() => [...document.querySelectorAll("{STOPS}")]
  .filter((one) => one.checkVisibility() && !one.disabled && one.type !== "hidden")
  .filter((one) => one.type !== "radio" || one.checked)
  .length"""
MOST_SHIFT = 0.02  # a fifth of what counts as good
MOST_STOPS = 150
ENOUGH_MS = 100  # what held up for less is not measured again
TRIES = 3  # others may use the machine: the best counts


def jumped(page: Page) -> list[str]:
    """What moved by itself since the page began to load, if it is more than hardly anything."""
    told = page.evaluate("measured")
    jumps: list[str] = told["jumped"]
    return jumps if told["shift"] >= MOST_SHIFT else []


def held_up(page: Page) -> float:
    """Milliseconds of the longest task of a page's scripts, loaded again where it took long."""
    longest = float(page.evaluate("measured.longest"))
    for _ in range(TRIES - 1):
        if longest < ENOUGH_MS:
            break
        page.reload()
        settled(page)
        longest = min(longest, float(page.evaluate("measured.longest")))
    return longest


def frame_time(page: Page, move: Callable[[], None]) -> float:
    """Milliseconds between two pictures while something moves, the median."""
    page.evaluate(COUNTING)
    move()
    return float(page.evaluate(COUNTED))


def all_stops(page: Page) -> list[str]:
    """What the tabulator leads to, one after the other, until it leaves the page.

    Raises
    ------
    AssertionError
        There is no way out, or what has the focus is not marked, or not in sight.
    """
    found: list[str] = []
    while (at := next_stop(page, "Tab")) is not None:
        found.append(at)
        assert len(found) < MOST_STOPS, f"no way out of the page: {found[-5:]}"
    return found


def next_stop(page: Page, key: str) -> str | None:
    """What has the focus once a key was pressed; None when it is nothing of the page."""
    page.keyboard.press(key)
    at: str | None = page.evaluate(FOCUSED)
    assert at is None or not at.endswith(("unmarked", "out of sight")), at
    return at

// What every page does: its theme, and times by the reader's clock.

import { moment } from "./format.js";
import { initTheme } from "./theme.js";

/** Writes the times within an element by the reader's clock. */
export function localTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    time.title = time.dateTime;
    time.textContent = "day" in time.dataset ? moment(time.dateTime).slice(0, 10) : moment(time.dateTime);
  }
}

initTheme();
localTimes(document);

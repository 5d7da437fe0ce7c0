// What every page does: its theme, times by the reader's clock, and a word when a module of it does not arrive.

import { moment } from "./format.js";
import { toast } from "./messages.js";
import { ready } from "./ready.js";
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
ready("page");
addEventListener("load", () => {
  if (document.querySelector("[data-needs]")) toast("A part of this page did not arrive. Load it again to use what is grey.", { bad: true });
});

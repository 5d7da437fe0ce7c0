// What every page does: its theme, and times by the reader's clock.

import { moment } from "./format.js";
import { initTheme } from "./theme.js";

initTheme();
for (const time of document.querySelectorAll("time[datetime]")) {
  time.title = time.dateTime;
  time.textContent = "day" in time.dataset ? moment(time.dateTime).slice(0, 10) : moment(time.dateTime);
}

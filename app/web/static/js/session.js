// A session: two laps laid over each other, in charts that belong together, so all are drawn at once.

import { chart } from "./charts.js";

for (const element of document.querySelectorAll("[data-chart]")) chart(element, element.dataset.chart);

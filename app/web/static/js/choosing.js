// Sessions to choose from: all or none with one click, and how many laps the chosen ones have.

import { wrongBeside } from "./messages.js";
import { ready } from "./ready.js";

/** Brings the list in a form to life; what it returns tells the ids chosen, the oldest first, or says that there is none. */
export function choosing(form) {
  const boxes = [...form.querySelectorAll("input[name=sessionIds]")];
  const count = form.querySelector("[data-chosen]");
  const chosen = () => boxes.filter((box) => box.checked);
  const tell = () => {
    const laps = chosen().reduce((sum, box) => sum + Number(box.dataset.laps), 0);
    count.textContent = `${chosen().length} of ${boxes.length}, ${laps} laps`;
  };
  for (const button of form.querySelectorAll("[data-choose]")) {
    button.addEventListener("click", () => {
      for (const box of boxes) box.checked = button.dataset.choose === "all";
      tell();
    });
  }
  form.addEventListener("change", tell);
  tell();
  ready("choosing");
  return () => {
    const ids = chosen().map((box) => box.value).reverse();
    if (!ids.length) wrongBeside(form, "sessionIds", "Choose at least one session.");
    return ids;
  };
}

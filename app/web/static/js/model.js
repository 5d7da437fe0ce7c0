// A version: made active, shared, deleted. Each change is asked for by the API, and the page is shown again.

import { api } from "./api.js";
import { chart } from "./charts.js";
import { confirmed, showErrors, told, toast } from "./messages.js";
import { ready } from "./ready.js";

const { model, number } = document.querySelector("[data-model]").dataset;
const on = (selector, event, work) => {
  for (const element of document.querySelectorAll(selector)) element.addEventListener(event, work);
};

for (const element of document.querySelectorAll("[data-chart]")) chart(element, element.dataset.chart);
on("[data-activate]", "click", async (event) => {
  const { activate, version } = event.currentTarget.dataset;
  const text = `Predictions for the track come from version ${version} from now on, and what comes next is learned by it.`;
  if (await confirmed({ title: `Make version ${version} active?`, text, action: "Make it active" })) {
    await change(`/ai-model/${activate}/activate`, { method: "POST", json: {} });
  }
});
on("[data-remove]", "click", async () => {
  const text = "It cannot be brought back. Of the active version, its parent becomes active.";
  if (await confirmed({ title: `Delete version ${number}?`, text, action: "Delete it", danger: true })) {
    await change(`/ai-model/${model}`, { method: "DELETE" }, document.querySelector(".crumbs a[href^='/tracks/']").href);
  }
});
on("[data-revoke]", "click", (event) =>
  change(`/ai-model/${model}/share/${event.currentTarget.dataset.revoke}`, { method: "DELETE" }));
on("[data-share]", "submit", async (event) => {
  event.preventDefault();
  const form = event.currentTarget;
  try {
    await api(`/ai-model/${model}/share`, { method: "POST", json: { email: form.elements.email.value }, repeat: true });
    location.reload();
  } catch (error) {
    showErrors(form, error);
  }
});
ready("model");

async function change(path, request, next = location.href) {
  try {
    await api(path, request);
    location.assign(next);
  } catch (error) {
    toast(told(error), { bad: true });
  }
}

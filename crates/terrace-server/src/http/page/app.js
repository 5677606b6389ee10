// The frame of the page: builds the panels, and gives each of them what the server tells once a second.

import { el, span } from "./draw.js";
import { panels } from "./panels.js";

const KEPT = 300;
const main = document.querySelector("#panels");
const history = [];
const updates = [];

for (const { id, title, note, size, build } of panels) {
  const card = el("section", { class: `card ${size ?? ""}`, id });
  if (title) {
    card.setAttribute("aria-labelledby", id + "-title");
    card.append(el("h2", { id: id + "-title" }, title, note ? el("small", {}, note) : null));
  } else {
    card.setAttribute("aria-label", id);
  }
  main.append(card);
  updates.push(build(card));
}

const pill = document.querySelector("#state");
const facts = document.querySelector("#facts");
const reasons = document.querySelector("#reasons");

function state(word) {
  if (pill.textContent !== word) pill.textContent = word;
  pill.className = "pill " + word.split(" ").at(-1);
}

function show(report) {
  main.classList.remove("waiting");
  state(report.state);
  facts.textContent = `version ${report.version}, up for ${span(report.uptime_ms)}`;
  reasons.hidden = report.reasons.length === 0;
  const why = report.reasons.join("; ");
  if (reasons.textContent !== why) reasons.textContent = why;
  for (const update of updates) {
    // One panel that fails must not take the others with it.
    try { update({ report, history }); } catch (error) { console.error(error); }
  }
}

function remember(rates) {
  if (!rates || rates.time_ms <= (history.at(-1)?.time_ms ?? 0)) return;
  history.push(rates);
  if (history.length > KEPT) history.shift();
}

async function begin() {
  try {
    const paths = ["/v1/history", "/v1/stats"];
    const [past, report] = await Promise.all(paths.map(async (path) => (await fetch(path)).json()));
    past.forEach(remember);
    remember(report.rates);
    show(report);
  } catch { /* The stream below tells whether the server is there. */ }
  listen();
}

function listen() {
  const stream = new EventSource("/v1/events");
  stream.addEventListener("stats", (event) => {
    const report = JSON.parse(event.data);
    remember(report.rates);
    show(report);
  });
  stream.onerror = () => {
    state("connection lost");
    // Refused, not cut off: the browser does not come back by itself then.
    if (stream.readyState === EventSource.CLOSED) setTimeout(listen, 5000);
  };
}

begin();

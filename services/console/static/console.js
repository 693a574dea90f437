// The console's own script: instants in the viewer's zone, keys, theme, and the refresh of what is live. Pages work without it.
"use strict";

const REFRESH_MS = 5000;
const shown = new Intl.DateTimeFormat(undefined, {
  year: "numeric", month: "short", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
});

const stored = (name) => { try { return localStorage.getItem(name); } catch { return null; } };
const store = (name, value) => { try { localStorage.setItem(name, value); } catch { /* not kept */ } };

function showInstants(root) {
  for (const each of root.querySelectorAll("time[datetime]")) {
    const at = new Date(each.dateTime);
    if (!Number.isNaN(at.getTime())) each.textContent = shown.format(at);
  }
}

// Theme: light, dark, or as the system says.
const THEMES = ["system", "light", "dark"];
function showTheme() {
  const name = document.getElementById("theme-name");
  if (name) name.textContent = document.documentElement.dataset.theme || "system";
}
function nextTheme() {
  const root = document.documentElement;
  const next = THEMES[(THEMES.indexOf(root.dataset.theme || "system") + 1) % THEMES.length];
  if (next === "system") delete root.dataset.theme; else root.dataset.theme = next;
  store("fliq-theme", next);
  showTheme();
}

// Live: not while the tab is hidden, and not while somebody works in what would be replaced.
let isLive = stored("fliq-live") !== "off";
function showLive() {
  const button = document.getElementById("live-switch");
  if (!button) return;
  button.hidden = !document.getElementById("live");
  button.setAttribute("aria-pressed", String(isLive));
}
function mayRefresh() {
  const live = document.getElementById("live");
  return isLive && live && !document.hidden && !live.contains(document.activeElement)
    && !live.querySelector("details[open], input[type=checkbox]:checked");
}
setInterval(() => { if (mayRefresh()) document.body.dispatchEvent(new Event("refresh")); }, REFRESH_MS);

// Rows: j and k move, Enter opens the link that has the focus, x selects.
const rows = () => [...document.querySelectorAll("[data-row]")];
function move(by) {
  const all = rows();
  if (!all.length) return;
  const at = all.findIndex((row) => row.contains(document.activeElement));
  const next = at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, at + by));
  const target = all[next].querySelector("a[href]");
  if (target) { target.focus(); target.scrollIntoView({ block: "nearest" }); }
}
function select() {
  const row = rows().find((each) => each.contains(document.activeElement));
  const box = row && row.querySelector("input[type=checkbox]");
  if (box) { box.checked = !box.checked; showSelected(); }
}
function showSelected() {
  const count = document.querySelectorAll("input[name=job]:checked").length;
  for (const each of document.querySelectorAll("[data-selected]")) each.textContent = String(count);
  for (const each of document.querySelectorAll("[data-needs-selection]")) each.disabled = count === 0;
}

const PLACES = { o: "/", j: "/jobs", f: "/failures", s: "/schedules", w: "/webhooks", e: "/events" };
let wentAt = 0;
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input:not([type=checkbox]), textarea, select, dialog[open]");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (Date.now() - wentAt < 1500 && PLACES[event.key]) {
    const link = [...document.querySelectorAll(".menu a")].find((each) => each.getAttribute("href").endsWith(PLACES[event.key]));
    if (link) link.click();
    return;
  }
  const does = {
    "/": () => document.getElementById("search")?.focus(),
    j: () => move(1), k: () => move(-1), x: select,
    g: () => { wentAt = Date.now(); },
    "?": () => document.getElementById("help")?.showModal(),
  }[event.key];
  if (does) { event.preventDefault(); does(); }
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.id === "theme-switch") nextTheme();
  if (button.id === "help-switch") document.getElementById("help").showModal();
  if (button.id === "live-switch") { isLive = !isLive; store("fliq-live", isLive ? "on" : "off"); showLive(); }
});
document.addEventListener("change", (event) => {
  if (event.target.id === "all-rows") {
    for (const each of document.querySelectorAll("input[name=job]")) each.checked = event.target.checked;
  }
  showSelected();
});
document.addEventListener("htmx:afterSwap", (event) => { showInstants(document); showSelected(); showLive(); });

showInstants(document);
showTheme();
showLive();
showSelected();

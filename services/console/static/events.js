// Events: reads the stream of the API through the console, and shows the newest of what happens. Text is only ever shown as text.
"use strict";

const SHOWN_MAX = 200;
const AGAIN_MAX_MS = 30_000;
const QUIET_MS = 50_000; // the stream says something every 15 s
const GIVES_UP = [400, 401, 403, 404]; // nothing changes by asking again

const list = document.getElementById("stream");
const state = document.getElementById("stream-state");
const pauseButton = document.getElementById("pause");
const clearButton = document.getElementById("clear");
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23" });
const moment = new Intl.DateTimeFormat(undefined, { month: "short", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const empty = document.getElementById("stream-empty");
let lastId = "";
let isPaused = false;
let reading = null; // the AbortController of the stream that is open
let againMs = 1000;
let timer = 0;
let waiting = [];

function say(text, isBad) {
  state.textContent = text;
  state.className = isBad ? "problem" : "soft";
}

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

const at = (text) => moment.format(new Date(text));

function summary(data) {
  const said = [];
  if (data.attempt_num) said.push(`attempt ${data.attempt_num}`);
  if (data.last_error || data.error) said.push(String(data.last_error || data.error));
  else if (data.status_code) said.push(`HTTP ${data.status_code}`);
  if (data.reason) said.push(String(data.reason).replace("_", " "));
  if (data.next_attempt_at) said.push(`at ${at(data.next_attempt_at)}`);
  else if (data.next_run_at) said.push(`first run ${at(data.next_run_at)}`);
  else if (data.scheduled_at && !data.attempt_num) said.push(`for ${at(data.scheduled_at)}`);
  return said.join(", ") || "data";
}

function rowOf(event) {
  const row = element("tr"), data = event.data || {};
  const time = element("time", clock.format(new Date(event.time)));
  time.title = event.time; // no datetime: console.js would show it to the second
  const type = String(event.type).replace(/^sh\.fliq\.|\.v\d+$/g, "");
  const subject = String(event.subject || "");
  const about = element("td"), link = element("a");
  link.href = list.dataset.base + (subject.startsWith("sched_") ? "/schedules/" : "/jobs/") + encodeURIComponent(subject);
  link.append(element("code", subject.length > 18 ? `${subject.slice(0, 9)}…${subject.slice(-6)}` : subject));
  about.append(link);
  const said = element("td"), more = element("details");
  more.append(element("summary", summary(data)), element("pre", JSON.stringify(data, null, 2)));
  said.append(more);
  const when = element("td"), what = element("td");
  when.append(time);
  what.append(element("span", type, `status ${/failed|missed|autopaused/.test(type) ? "failed" : /completed/.test(type) ? "success" : /retry|due|skipped/.test(type) ? "paused" : ""}`));
  row.append(when, what, about, said);
  row.dataset.row = "";
  return row;
}

function show() {
  const found = waiting.slice(-SHOWN_MAX).reverse();
  waiting = [];
  if (!found.length) return;
  empty.remove();
  list.prepend(...found.map(rowOf));
  while (list.children.length > SHOWN_MAX) list.lastElementChild.remove();
}

function take(block) {
  for (const line of block.split("\n")) {
    if (line.startsWith("id: ")) lastId = line.slice(4);
    if (!line.startsWith("data: ")) continue;
    try { waiting.push(JSON.parse(line.slice(6))); } catch { /* of a later version: not shown */ }
  }
  if (waiting.length > SHOWN_MAX) waiting = waiting.slice(-SHOWN_MAX);
}

async function read(body, signal) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "", quiet = 0;
  try {
    for (;;) {
      quiet = setTimeout(() => reader.cancel(), QUIET_MS);
      const { done, value } = await reader.read();
      clearTimeout(quiet);
      if (done || signal.aborted) return;
      text += value;
      const blocks = text.split("\n\n");
      text = blocks.pop();
      blocks.forEach(take);
      requestAnimationFrame(show);
    }
  } finally {
    clearTimeout(quiet);
  }
}

function again(text, isBad) {
  say(`${text} Trying again in ${Math.round(againMs / 1000)} s.`, isBad);
  timer = setTimeout(listen, againMs);
  againMs = Math.min(againMs * 2, AGAIN_MAX_MS);
}

async function refused(answer) {
  const said = await answer.json().catch(() => ({}));
  if (answer.status === 410) {
    lastId = "";
    again("The log does not go back so far any more: some events are not shown.", true);
  } else if (answer.status === 401) {
    say("Your session has ended: load this page to log in again.", true);
  } else if (GIVES_UP.includes(answer.status)) {
    say(`The stream was refused: ${said.message || answer.status}`, true);
  } else {
    again(`The stream was refused: ${said.message || answer.status}.`, true);
  }
}

async function listen() {
  clearTimeout(timer);
  if (isPaused || document.hidden || reading) return;
  const mine = reading = new AbortController();
  const headers = { "HX-Request": "true", ...(lastId && { "Last-Event-ID": lastId }) };
  try {
    const answer = await fetch(list.dataset.stream, { headers, signal: mine.signal, cache: "no-store" });
    if (!answer.ok) {
      await refused(answer);
      if (reading === mine) reading = null;
      return;
    }
    say("Listening.", false);
    againMs = 1000;
    await read(answer.body, mine.signal);
    if (reading === mine) reading = null;
    if (!mine.signal.aborted) again("The stream ended.", false);
  } catch {
    if (reading === mine) reading = null;
    if (!mine.signal.aborted) again("The console does not answer.", true);
  }
}

function leave() {
  clearTimeout(timer);
  if (reading) reading.abort();
  reading = null;
}

pauseButton.addEventListener("click", () => {
  isPaused = !isPaused;
  pauseButton.setAttribute("aria-pressed", String(isPaused));
  pauseButton.textContent = isPaused ? "Go on" : "Pause";
  if (isPaused) { leave(); say("Paused. “Go on” shows what happened meanwhile.", false); } else listen();
});
clearButton.addEventListener("click", () => list.replaceChildren(empty));
document.addEventListener("visibilitychange", () => { if (document.hidden) leave(); else listen(); });
window.addEventListener("pagehide", leave);

pauseButton.disabled = false;
clearButton.disabled = false;
say("Connecting.", false);
listen();

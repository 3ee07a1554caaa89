"use strict";

const byId = (id) => document.getElementById(id);
let token = sessionStorage.getItem("ragkit-token") || "";
let timer = null;

async function ask(path, options = {}) {
  const headers = { ...(options.headers || {}) };
  if (token) headers.Authorization = `Bearer ${token}`;
  const response = await fetch(`/ui/api/${path}`, { ...options, headers });
  if (response.status === 401) {
    byId("login").hidden = false;
    byId("main").hidden = true;
    throw new Error("The admin token is missing or wrong.");
  }
  const value = await response.json();
  if (!response.ok) throw new Error(value.error ? value.error.message : `status ${response.status}`);
  return value;
}

function send(path, body) {
  return ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
}

// Text of clients is only ever set as text, never as markup.
function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined && text !== null) made.textContent = String(text);
  if (className) made.className = className;
  return made;
}

function drawing(width, height, label) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label);
  return svg;
}

function shape(svg, name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  svg.append(made);
  return made;
}

function axes(svg, width, height, left, foot) {
  shape(svg, "line", { class: "axis", x1: left, x2: width, y1: height - foot, y2: height - foot });
  shape(svg, "line", { class: "axis", x1: left, x2: left, y1: 0, y2: height - foot });
}

const number = (value) => new Intl.NumberFormat().format(Math.round(value || 0));
const percent = (value) => `${(100 * value).toFixed(1)} %`;
const clock = (seconds) => new Date(1000 * seconds).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

function showNumbers(state) {
  const total = state.totals;
  const hits = total.hits || 0;
  const asked = hits + (total.misses || 0) + (total.bypasses || 0);
  const facts = [
    ["Requests", number(asked)],
    ["Hit rate", asked ? percent(hits / asked) : "–"],
    ["Served", number(hits)],
    ["Reported wrong", number(total.wrong)],
    ["Tokens saved", number(total.tokens)],
    ["Money saved", total.money ? total.money.toFixed(2) : "–"],
    ["Entries", number(state.cache.entries)],
  ];
  byId("numbers").replaceChildren(...facts.map(([name, value]) => {
    const box = element("div");
    box.append(element("dt", name), element("dd", value));
    return box;
  }));
}

function showTraffic(state) {
  const [width, height, left, foot] = [960, 160, 34, 18];
  const most = Math.max(1, ...state.minutes.map((one) => (one.hits || 0) + (one.misses || 0) + (one.bypasses || 0)));
  const served = state.minutes.reduce((sum, one) => sum + (one.hits || 0), 0);
  const svg = drawing(width, height, `${served} of the requests of the last two hours were served from the cache; at most ${most} a minute.`);
  const step = (width - left) / 120;
  const scale = (value) => (value / most) * (height - foot - 12);
  shape(svg, "line", { class: "axis", x1: left, x2: width, y1: height - foot, y2: height - foot });
  shape(svg, "text", { x: 0, y: 14 }, number(most));
  shape(svg, "text", { x: 0, y: height - foot }, "0");
  state.minutes.forEach((one, place) => {
    const x = width - step * (state.minutes.length - place);
    const hits = scale(one.hits || 0);
    const rest = scale((one.misses || 0) + (one.bypasses || 0));
    shape(svg, "rect", { class: "hit", x, y: height - foot - hits, width: step * 0.85, height: hits });
    shape(svg, "rect", { class: "miss", x, y: height - foot - hits - rest, width: step * 0.85, height: rest });
  });
  const last = state.minutes[state.minutes.length - 1];
  if (last) shape(svg, "text", { x: width - 36, y: height - 4 }, clock(last.at));
  byId("traffic").replaceChildren(svg);
}

function showPolicy(state) {
  const policy = state.policy;
  byId("policy").textContent = policy.told;
  const holder = byId("curve");
  if (!policy.curve.length) {
    holder.replaceChildren();
    byId("curve-note").textContent = "Precision over hit rate appears here once candidates have been judged.";
    return;
  }
  const [width, height, left, foot] = [960, 240, 44, 30];
  const svg = drawing(width, height, "The least share of right answers over the share of requests, one point for each score.");
  axes(svg, width, height, left, foot);
  const most = Math.max(0.05, ...policy.curve.map((one) => one.hit_rate));
  const least = Math.min(0.9, ...policy.curve.map((one) => one.precision));
  const x = (value) => left + (value / most) * (width - left - 60);
  const y = (value) => 12 + ((1 - value) / (1 - least)) * (height - foot - 12);
  for (const value of [least, (1 + least) / 2, 1]) shape(svg, "text", { x: 0, y: y(value) + 4 }, percent(value));
  for (const value of [0, most / 2, most]) shape(svg, "text", { x: x(value) - 10, y: height - 10 }, percent(value));
  shape(svg, "polyline", { class: "curve", points: policy.curve.map((one) => `${x(one.hit_rate)},${y(one.precision)}`).join(" ") });
  for (const one of policy.curve) {
    const dot = shape(svg, "circle", { class: one.serving ? "now" : "point", cx: x(one.hit_rate), cy: y(one.precision), r: one.serving ? 7 : 4 });
    const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
    title.textContent = `score ${one.score.toFixed(2)}: ${percent(one.hit_rate)} of requests, at least ${percent(one.precision)} right`;
    dot.append(title);
    shape(svg, "text", { x: x(one.hit_rate) + 8, y: y(one.precision) - 6 }, one.score.toFixed(2));
  }
  holder.replaceChildren(svg);
  byId("curve-note").textContent = "Across: share of requests with such a candidate. Up: at least so many of them are right, as far as the judgements tell. A point for each score; the filled one is served now.";
}

function showTrail(state) {
  const { trail, budget } = state.policy;
  for (const name of ["trail-title", "trail-note"]) byId(name).hidden = !trail.length;
  if (!trail.length) {
    byId("trail").replaceChildren();
    return;
  }
  const [width, height, left, foot] = [960, 200, 44, 30];
  const last = trail[trail.length - 1];
  const svg = drawing(width, height, `Wrong answers after ${number(last.requests)} requests: at most ${percent(last.bound)}, ${percent(last.judged)} as far as judged; the budget is ${percent(budget)}.`);
  const most = 1.1 * Math.max(budget, ...trail.map((one) => Math.max(one.bound, one.judged)));
  const x = (value) => left + (value / last.requests) * (width - left - 60);
  const y = (value) => height - foot - (value / most) * (height - foot - 12);
  axes(svg, width, height, left, foot);
  for (const value of [0, budget]) shape(svg, "text", { x: 0, y: y(value) + 4 }, percent(value));
  for (const value of [last.requests / 2, last.requests]) shape(svg, "text", { x: x(value) - 10, y: height - 10 }, number(value));
  shape(svg, "line", { class: "limit", x1: left, x2: width, y1: y(budget), y2: y(budget) });
  for (const [name, of] of [["bound", "bound"], ["curve", "judged"]]) {
    shape(svg, "polyline", { class: name, points: trail.map((one) => `${x(one.requests)},${y(one[of])}`).join(" ") });
  }
  byId("trail").replaceChildren(svg);
}

function showNear(state) {
  const rows = state.near.map((one) => {
    const row = element("tr");
    row.append(
      element("td", clock(one.at), "number"), element("td", one.prompt || "(hidden)"), element("td", one.stored || (one.entry ? "(hidden)" : "")),
      element("td", one.similarity === null ? "" : one.similarity.toFixed(3), "number"), element("td", one.refused_by), element("td", one.reason),
    );
    return row;
  });
  if (!rows.length) {
    const row = element("tr");
    const cell = element("td", "None yet.");
    cell.colSpan = 6;
    row.append(cell);
    rows.push(row);
  }
  byId("near").tBodies[0].replaceChildren(...rows);
}

async function showEntries() {
  const found = await ask(`entries?search=${encodeURIComponent(byId("query").value)}`);
  const rows = found.entries.map((one) => {
    const row = element("tr");
    row.append(
      element("td", one.prompt || `(hidden) ${one.id}`), element("td", one.answer), element("td", new Date(1000 * one.created).toLocaleString(), "number"),
      element("td", one.hits, "number"), element("td", one.wrong, one.wrong ? "number bad" : "number"), element("td", one.tags.join(", ")),
    );
    const actions = element("td");
    const wrong = element("button", "Wrong");
    wrong.type = "button";
    wrong.setAttribute("aria-label", `Mark as wrong: ${one.prompt || one.id}`);
    wrong.addEventListener("click", () => acted(send(`entries/${encodeURIComponent(one.id)}/wrong`, {}), "Marked wrong and removed."));
    actions.append(wrong);
    row.append(actions);
    return row;
  });
  byId("entries").tBodies[0].replaceChildren(...rows);
  byId("told").textContent = found.total > rows.length ? `${rows.length} of ${number(found.total)} entries.` : `${number(found.total)} entries.`;
}

async function acted(promise, message) {
  try {
    const value = await promise;
    await refresh();
    await showEntries();
    byId("told").textContent = value.removed === undefined ? message : `${number(value.removed)} entries removed.`;
  } catch (error) {
    byId("told").textContent = error.message;
  }
}

async function refresh() {
  try {
    const state = await ask("state");
    byId("login").hidden = true;
    byId("main").hidden = false;
    byId("where").textContent = `${state.upstreams.join(", ")} · ${state.cache.path}`;
    showNumbers(state);
    showTraffic(state);
    showPolicy(state);
    showTrail(state);
    showNear(state);
    byId("live").textContent = `Live, ${clock(Date.now() / 1000)}`;
    byId("live").className = "";
  } catch (error) {
    byId("live").textContent = error.message;
    byId("live").className = "bad";
  }
}

async function begin() {
  clearInterval(timer);
  await refresh();
  await showEntries().catch(() => {});
  timer = setInterval(() => { if (!document.hidden) refresh(); }, 3000);
}

byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  token = byId("token").value;
  sessionStorage.setItem("ragkit-token", token);
  begin();
});
byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  showEntries().catch((error) => { byId("told").textContent = error.message; });
});
byId("invalidate").addEventListener("submit", (event) => {
  event.preventDefault();
  acted(send("invalidate", { tag: byId("tag").value }), "");
});
begin();

// The page: the feed's lines by server-sent events into the model, the model into tables and a chart.

import { LagChart } from "./chart.js";
import { showDetail } from "./detail.js";
import { byId, element, showText } from "./elements.js";
import { Model } from "./model.js";
import { Table } from "./table.js";
import { clock, count, duration, number, place, request, share, subject, uptime, verdict } from "./words.js";

const FRAME_MS = 250;
const SILENT_S = 3;

const model = new Model(() => performance.now() / 1000);
const chart = new LagChart(byId("lag"), model);
let paused = false;

const guilt = (row) => (row.innocent ? "innocent" : "guilty");
const where = (group) => (group.culprit ? place(group.culprit) : group.latest ? subject(group.latest) : subject({ cause: group.cause }));
const most = (rows, value) => Math.max(1e-9, ...rows.map(value));

const loops = new Table(byId("loops"), [
  { name: "worker", text: (loop) => `${loop.worker} · pid ${model.workers.get(loop.worker)?.pid ?? "?"}`, kind: "whole" },
  { name: "loop", text: (loop) => `${loop.thread} · ${loop.kind || ""}`, kind: "wide" },
  { name: "state", kind: "long", text: (loop) => verdict(loop, model.lasts(loop)), tint: (loop) => (loop.state === "blocked" ? "guilty" : ["stopped", "starved", "gone"].includes(loop.state) ? "innocent" : "") },
  { name: "lag now", text: (loop) => duration(loop.lag), kind: "number" },
  { name: "p50", text: (loop) => duration(figures(loop).lag_p50_s), kind: "number wide" },
  { name: "p99", text: (loop) => duration(figures(loop).lag_p99_s), kind: "number wide" },
  { name: "max", text: (loop) => duration(figures(loop).lag_max_s), kind: "number wide" },
  { name: "busy", text: (loop) => share(figures(loop).utilisation), kind: "number wide" },
], { key: (loop) => `${loop.worker} ${loop.thread}`, empty: "No loop runs." });

let longest = 1;
const culprits = new Table(byId("culprits"), [
  { name: "culprit", text: where, open: (group) => openGroup(group), tint: guilt, bar: (group) => group.total_s / longest },
  { name: "cause", text: (group) => group.cause, kind: "whole" },
  { name: "count", text: (group) => number(group.count), value: (group) => group.count, kind: "number" },
  { name: "total", text: (group) => duration(group.total_s), value: (group) => group.total_s, kind: "number" },
  { name: "worst", text: (group) => duration(group.worst_s), value: (group) => group.worst_s, kind: "number wide" },
  { name: "victims", text: (group) => number(group.victims), value: (group) => group.victims, kind: "number wide" },
  { name: "last seen", text: (group) => clock(group.last_seen), value: (group) => Date.parse(group.last_seen), kind: "number wide" },
], { sortBy: "total", key: (group) => group.fingerprint, empty: "Nothing has blocked a loop." });

const stalls = new Table(byId("stalls"), [
  { name: "at", text: (stall) => clock(stall.at), kind: "whole" },
  { name: "held", text: (stall) => duration(stall.duration_s) + (stall.ongoing ? "…" : ""), kind: "number" },
  { name: "cause", text: (stall) => stall.cause, kind: "whole" },
  { name: "by", text: subject, open: (stall) => openStall(stall), tint: guilt },
  { name: "request", text: (stall) => request(stall.request), kind: "wide" },
], { key: (stall) => stall.id, empty: "None yet.", most: 12 });

const calls = new Table(byId("calls"), [
  { name: "call", text: (row) => row.call },
  { name: "by", text: (row) => place(row.caller) },
  { name: "count", text: (row) => number(row.count), value: (row) => row.count, kind: "number" },
  { name: "worst", text: (row) => duration(row.worst_s), value: (row) => row.worst_s, kind: "number" },
  { name: "remedy", text: (row) => (row.latest.remedy || "").split("; or ")[0], kind: "wide" }, // the first; a stall has them all
], { sortBy: "count", key: (row) => `${row.call} ${row.caller ? row.caller.file + row.caller.line : ""}`, empty: "None." , most: 20 });

const routes = new Table(byId("routes"), [
  { name: "route", text: (row) => row.route, kind: "long" },
  { name: "count", text: (row) => number(row.count), value: (row) => row.count, kind: "number" },
  { name: "p50", text: (row) => duration(row.count ? row.p50_s : null), value: (row) => row.p50_s, kind: "number wide" },
  { name: "p99", text: (row) => duration(row.count ? row.p99_s : null), value: (row) => row.p99_s, kind: "number" },
  { name: "held the loop", text: (row) => (row.held_s ? duration(row.held_s) : "–"), value: (row) => row.held_s, kind: "number", tint: (row) => (row.held_s ? "guilty" : "") },
], { sortBy: "held the loop", key: (row) => row.route, empty: "No requests.", most: 15 });

const executors = new Table(byId("executors"), [
  { name: "executor", text: (row) => `${row.name} (${row.kind})` },
  { name: "queued", text: (row) => number(row.queued), kind: "number" },
  { name: "running", text: (row) => number(row.running), kind: "number" },
  { name: "rejected", text: (row) => number(row.rejected), kind: "number" },
  { name: "wait p99", text: (row) => duration(row.wait_p99_s), kind: "number wide" },
  { name: "run p99", text: (row) => duration(row.run_p99_s), kind: "number wide" },
], { key: (row) => `${row.worker} ${row.name}`, empty: "None." });

const tasks = new Table(byId("tasks"), [
  { name: "task", text: (task) => task.coro || task.name || "", value: (task) => task.coro || "" },
  { name: "state", text: (task) => task.state, kind: "whole" },
  { name: "age", text: (task) => duration(task.age_s), value: (task) => task.age_s, kind: "number" },
  { name: "waits at", text: (task) => task.where || "", kind: "wide" },
], { sortBy: "age", key: (task) => `${task.worker} ${task.name} ${task.coro}`, empty: "No tasks.", most: 15 });

function figures(loop) {
  const snapshot = model.workers.get(loop.worker)?.snapshot;
  return (snapshot && snapshot.loops.find((one) => one.thread === loop.thread)) || {};
}

function openGroup(group) {
  const like = model.stallsOf(group.fingerprint);
  const worst = like.reduce((one, other) => (one && one.duration_s >= other.duration_s ? one : other), null);
  showDetail(`${group.cause} · ${where(group)} · ${count(group.count, "time", "times")}, ${duration(group.total_s)}`, worst, like);
}

function openStall(stall) {
  showDetail(`${stall.cause} · ${subject(stall)} · ${duration(stall.duration_s)}`, stall, [stall]);
}

// -- drawing

function tiles() {
  const asked = model.requests();
  const all = [...model.loops.values()];
  const busiest = most(all, (loop) => figures(loop).utilisation || 0);
  const lag = all.length ? Math.max(...all.map((loop) => (loop.state === "blocked" ? model.lasts(loop) : loop.lag || 0))) : null;
  const blocked = [...model.groups.values()].reduce((sum, group) => sum + group.count, 0);
  return [
    ["requests/s", asked.known ? number(asked.per_s, asked.per_s < 10 ? 1 : 0) : "–"],
    ["in flight", asked.known ? number(asked.in_flight) : "–"],
    ["latency p50", asked.known ? duration(asked.p50_s) : "–"],
    ["latency p99", asked.known ? duration(asked.p99_s) : "–"],
    ["lag now", duration(lag)],
    ["loop busy", all.length ? share(busiest) : "–"],
    ["stalls", number(blocked)],
    ["tasks", number(model.tasks().total)],
  ];
}

const shownTiles = new Map();

function showTiles() {
  for (const [name, text] of tiles()) {
    if (!shownTiles.has(name)) {
      const figure = element("b");
      byId("tiles").append(element("div", { class: "tile" }, figure, element("span", {}, name)));
      shownTiles.set(name, figure);
    }
    showText(shownTiles.get(name), text);
  }
}

function showHead() {
  const hello = model.hello;
  const workers = [...model.workers.values()].filter((worker) => worker.state !== "gone").length;
  const oldest = most([...model.workers.values()], (worker) => worker.snapshot?.uptime_s ?? 0);
  showText(byId("about"), hello ? [hello.app || hello.command, ...(hello.addresses || []), `${count(workers, "worker", "workers")}`, `up ${uptime(oldest)}`].join(" · ") : "connecting…");
  const loop = model.worst();
  const plate = byId("verdict");
  const several = model.workers.size > 1 && loop && loop.state !== "ok" ? `worker ${loop.worker}: ` : "";
  showText(plate, loop ? several + verdict(loop, model.lasts(loop)) : "waiting for the first word");
  plate.className = `verdict ${loop ? loop.state : ""}`;
  document.title = loop && loop.state === "blocked" ? `BLOCKED ${duration(model.lasts(loop))} · Loophound` : "Loophound";
  showNotice();
}

function showNotice() {
  const silent = model.now() - model.heardAt;
  const dropped = model.dropped();
  const gone = [...model.workers.values()].filter((worker) => worker.state === "gone" && worker.why);
  const words = [];
  if (model.gone) words.push(`The server is gone (${model.gone}); waiting for it to come back.`);
  else if (silent > SILENT_S) words.push(`No word for ${duration(silent)}.`);
  for (const worker of gone) words.push(`Worker ${worker.worker} (pid ${worker.pid}) ${worker.why.replace(/^it /, "")}.`);
  if (dropped) words.push(`${number(dropped)} records were dropped on the way.`);
  byId("notice").hidden = words.length === 0;
  showText(byId("notice"), words.join(" "));
}

function summary(groups) {
  const sum = (name) => groups.reduce((total, group) => total + group[name], 0);
  return `${count(sum("count"), "stall", "stalls")} held the loops for ${duration(sum("total_s"))}`;
}

function showTables() {
  const groups = [...model.groups.values()];
  longest = most(groups, (group) => group.total_s);
  culprits.show(groups);
  showText(byId("culprits-sum"), groups.length ? summary(groups) : "");
  loops.show([...model.loops.values()]);
  stalls.show(model.stalls);
  calls.show([...model.calls.values()]);
  byId("calls-card").hidden = model.calls.size === 0;
  routes.show(model.routes());
  const pools = model.merged("executors");
  executors.show(pools);
  byId("executors-card").hidden = pools.length === 0;
  const running = model.tasks();
  tasks.show(running.shown);
  showText(byId("tasks-sum"), running.total ? `${number(running.total)} run; oldest first` : "");
}

function show() {
  if (paused || document.hidden) return;
  showHead();
  showTiles();
  showTables();
  chart.show();
}

// -- input

function pause() {
  paused = !paused;
  byId("pause").setAttribute("aria-pressed", String(paused));
  showText(byId("pause"), paused ? "Go on" : "Pause");
}

byId("pause").addEventListener("click", pause);
byId("close").addEventListener("click", () => byId("detail").close());
document.addEventListener("keydown", (event) => {
  if (event.key === "p" && !event.ctrlKey && !event.metaKey && !byId("detail").open) pause();
});

const events = new EventSource(`events${location.search}`);
events.addEventListener("message", (event) => model.take(JSON.parse(event.data)));
events.addEventListener("error", () => { model.gone = model.gone || "the connection ended"; });
setInterval(show, FRAME_MS);

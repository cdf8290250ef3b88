// One stall, or one group of them, in full: source, cause, evidence, stack, flame graph.

import { byId, element } from "./elements.js";
import { flame } from "./flame.js";
import { clock, count, duration, place, request, share, subject } from "./words.js";

export function showDetail(title, stall, stalls) {
  byId("detail-title").textContent = title;
  const body = byId("detail-body");
  body.replaceChildren(...(stall ? parts(stall, stalls) : [element("p", { class: "empty" }, "Its records are no longer at hand; `loophound report` has those of a ledger.")]));
  const dialog = byId("detail");
  if (!dialog.open) dialog.showModal();
}

function parts(stall, stalls) {
  return [source(stall), facts(stall, stalls), flame(stalls), stack(stall)].filter(Boolean);
}

function source(stall) {
  const told = stall.source?.lines.length ? stall.source : onlyLine(stall.culprit);
  if (!told) return null;
  const digits = String(told.lines[told.lines.length - 1][0]).length;
  const lines = told.lines.map(([number, text]) => {
    const line = `${String(number).padStart(digits)}  ${text}`;
    return number === told.line ? element("mark", {}, line) : `${line}\n`;
  });
  return element("div", {}, element("div", { class: "dim" }, told.file), element("pre", {}, ...lines));
}

// What the record itself has of the source, where the file could not be read.
function onlyLine(culprit) {
  return culprit?.code ? { file: culprit.file, line: culprit.line, lines: [[culprit.line, culprit.code]] } : null;
}

function facts(stall, stalls) {
  const rows = [
    ["cause", stall.cause + (stall.innocent ? " (nobody in the code is to blame)" : "")],
    ["held the loop", `${duration(stall.duration_s)}${stall.ongoing ? " so far" : ""} at ${clock(stall.at)} (threshold ${duration(stall.threshold_s)})`],
    ["stalls like it", stalls.length > 1 ? `${stalls.length} here, worst ${duration(Math.max(...stalls.map((one) => one.duration_s)))}` : null],
    ["request", request(stall.request) + (stall.request && stall.request.route ? ` (route ${stall.request.route})` : "")],
    ["task", stall.task ? [stall.task.name, stall.task.coro].filter(Boolean).join(" · ") : null],
    ["victims", stall.victims ? `${count(stall.victims, "other request", "other requests")} waited` : null],
    ["waiting in", stall.blocking ? place(stall.blocking) : null],
    ["other thread", stall.other_thread ? subject(stall) : null],
    ["profile", stall.profile.map((line) => `${share(line.share)} ${place(line)}`).join(", ")],
    ["evidence", evidence(stall.evidence)],
    ["where", `worker ${stall.worker}, process ${stall.pid}, ${stall.loop} in ${stall.thread}`],
    ["remedy", stall.remedy],
  ];
  return element("dl", {}, ...rows.filter(([, text]) => text).flatMap(([name, text]) => [element("dt", {}, name), element("dd", {}, text)]));
}

function evidence(told) {
  const words = [];
  if (told.cpu_share !== null) words.push(`on the CPU ${share(told.cpu_share)} of the time`);
  if (told.syscall) words.push(`in system call ${told.syscall}${told.target ? ` on ${told.target}` : ""}`);
  if (told.runqueue_s) words.push(`waited ${duration(told.runqueue_s)} for a CPU`);
  if (told.gil_held) words.push("held the GIL");
  if (told.gc_s) words.push(`collected garbage for ${duration(told.gc_s)}`);
  if (told.captured_by) words.push(`captured by the ${told.captured_by}`);
  return words.join(", ");
}

function stack(stall) {
  if (!stall.stack.length) return null;
  const lines = stall.stack.map((frame) => `${frame.app ? "▸" : " "} ${frame.file}:${frame.line} in ${frame.function}`);
  return element("details", {}, element("summary", { class: "dim" }, `stack, ${stall.stack.length} frames, outermost first; ▸ the application's`),
    element("pre", {}, lines.join("\n")));
}

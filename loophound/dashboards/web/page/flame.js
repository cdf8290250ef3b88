// A flame graph of the stalls of one group: callers above what they call, boxes as wide as they held the loop.

import { drawn } from "./elements.js";
import { duration, place } from "./words.js";

const ROW_PX = 20;
const SMALLEST_SHARE = 0.002;

export function flame(stalls) {
  const root = { label: "all", seconds: 0, library: true, calls: new Map() };
  for (const stall of stalls) add(root, stall);
  if (!root.seconds) return null;
  const picture = drawn("svg", { class: "flame", role: "img", height: depth(root) * ROW_PX,
    "aria-label": "Flame graph: which calls held the loop, callers above" });
  draw(picture, root, root.seconds, 0, 0);
  return picture;
}

function add(root, stall) {
  root.seconds += stall.duration_s;
  let box = root;
  for (const [label, library] of folded(stall.stack)) box = child(box, label, library, stall.duration_s);
  // The samples of a stall tell its innermost lines apart.
  if (stall.profile.length > 1) {
    for (const line of stall.profile) child(box, place(line), false, stall.duration_s * line.share);
  }
}

function child(box, label, library, seconds) {
  if (!box.calls.has(label)) box.calls.set(label, { label, seconds: 0, library, calls: new Map() });
  const call = box.calls.get(label);
  call.seconds += seconds;
  return call;
}

// The application's frames one by one, runs of others as one.
function folded(stack) {
  const rows = [];
  let skipped = [];
  const flush = () => {
    if (skipped.length === 1) rows.push([place(skipped[0]), true]);
    else if (skipped.length) rows.push([`… ${skipped.length} frames to ${place(skipped[skipped.length - 1])}`, true]);
    skipped = [];
  };
  for (const frame of stack) {
    if (frame.app) { flush(); rows.push([place(frame), false]); } else skipped.push(frame);
  }
  flush();
  return rows;
}

function depth(box) {
  return 1 + Math.max(0, ...[...box.calls.values()].map(depth));
}

function draw(home, box, whole, left, level) {
  const part = box.seconds / whole;
  if (part < SMALLEST_SHARE) return;
  const label = `${box.label} · ${duration(box.seconds)}`;
  home.append(drawn("svg", { class: box.library ? "library" : null, x: `${(left / whole) * 100}%`, y: level * ROW_PX, width: `${part * 100}%`, height: ROW_PX },
    drawn("title", {}, `${label} (${Math.round(part * 100)} %)`),
    drawn("rect", { width: "100%", height: "100%" }),
    drawn("text", { x: 4, y: 14 }, label)));
  for (const call of [...box.calls.values()].sort((a, b) => b.seconds - a.seconds)) {
    draw(home, call, whole, left, level + 1);
    left += call.seconds;
  }
}

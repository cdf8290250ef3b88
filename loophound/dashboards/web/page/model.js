// The state behind the page: messages of the feed in, figures out. No DOM in here. Everything is bounded.

const MOST_STALLS = 200;
const MOST_GROUPS = 200;
const MOST_CALLS = 100;
const MOST_POINTS = 600;
export const WINDOW_S = 120;

// The worst state comes first, where one line has to stand for several loops.
const GRAVITY = ["blocked", "stopped", "starved", "gone", "busy", "ok"];

export class Model {
  constructor(nowSeconds) {
    this.now = nowSeconds; // a function: seconds, steady
    this.clear();
  }

  clear() {
    this.hello = null;
    this.workers = new Map(); // worker -> {pid, state, why, snapshot}
    this.loops = new Map(); // "worker thread" -> what is known of a loop
    this.groups = new Map(); // fingerprint -> totals
    this.stalls = []; // newest first
    this.calls = new Map(); // call and place -> totals
    this.lost = 0; // lines that this reader was too slow for
    this.heardAt = this.now();
    this.gone = null; // why the feed has ended
  }

  take(message) {
    this.heardAt = this.now();
    const handler = HANDLERS[message.type];
    if (handler) handler(this, message);
  }

  worker(message) {
    const known = this.workers.get(message.worker);
    if (known && (message.pid === undefined || known.pid === message.pid)) return known;
    const fresh = { worker: message.worker, pid: message.pid, state: "ready", why: null, snapshot: null };
    this.workers.set(message.worker, fresh);
    for (const [key, loop] of this.loops) if (loop.worker === message.worker) this.loops.delete(key);
    return fresh;
  }

  loop(message) {
    const key = `${message.worker} ${message.thread}`;
    let loop = this.loops.get(key);
    if (!loop) {
      loop = { worker: message.worker, thread: message.thread, kind: message.loop, state: "ok", since: this.now(), lag: null,
        line: null, request: null, times: [], lags: [] };
      this.loops.set(key, loop);
    }
    return loop;
  }

  // Seconds for which a loop has been in its state, by this page's own clock: it goes on when the feed is late.
  lasts(loop) {
    return Math.max(0, this.now() - loop.since);
  }

  worst() {
    let found = null;
    for (const loop of this.loops.values()) {
      const graver = found && GRAVITY.indexOf(loop.state) - GRAVITY.indexOf(found.state);
      if (!found || graver < 0 || (graver === 0 && this.lasts(loop) > this.lasts(found))) found = loop;
    }
    return found;
  }

  requests() {
    const all = { total: 0, per_s: 0, in_flight: 0, p50_s: null, p99_s: null, known: false };
    for (const { snapshot } of this.workers.values()) {
      const told = snapshot && snapshot.requests;
      if (!told) continue;
      all.known = true;
      all.total += told.total;
      all.per_s += told.per_s;
      all.in_flight += told.in_flight;
      all.p50_s = Math.max(all.p50_s ?? 0, told.p50_s ?? 0);
      all.p99_s = Math.max(all.p99_s ?? 0, told.p99_s ?? 0);
    }
    return all;
  }

  // One list over all workers of what each snapshot has under `name`.
  merged(name) {
    return [...this.workers.values()].flatMap((worker) =>
      ((worker.snapshot && worker.snapshot[name]) || []).map((row) => ({ ...row, worker: worker.worker })));
  }

  routes() {
    const byRoute = new Map();
    for (const row of this.merged("routes")) {
      const known = byRoute.get(row.route);
      if (!known) { byRoute.set(row.route, { ...row }); continue; }
      known.count += row.count;
      known.held_s += row.held_s;
      known.stalls = (known.stalls || 0) + (row.stalls || 0);
      for (const name of ["p50_s", "p99_s", "max_s"]) known[name] = Math.max(known[name] ?? 0, row[name] ?? 0);
    }
    return [...byRoute.values()];
  }

  tasks() {
    let total = 0;
    const shown = [];
    for (const worker of this.workers.values()) {
      const told = worker.snapshot && worker.snapshot.tasks;
      if (!told) continue;
      total += told.total;
      for (const task of told.shown) shown.push({ ...task, worker: worker.worker });
    }
    return { total, shown };
  }

  dropped() {
    let sum = this.lost;
    for (const { snapshot } of this.workers.values()) {
      for (const count of Object.values((snapshot && snapshot.dropped) || {})) sum += count;
    }
    return sum;
  }

  stallsOf(fingerprint) {
    return this.stalls.filter((stall) => stall.fingerprint === fingerprint);
  }

  // `counted`: the totals of its group have it already.
  addStall(stall, counted) {
    const before = this.stalls.findIndex((known) => known.id === stall.id);
    const previous = before >= 0 ? this.stalls[before] : null;
    if (previous) this.stalls.splice(before, 1);
    this.stalls.unshift(stall);
    this.stalls.length = Math.min(this.stalls.length, MOST_STALLS);
    const known = this.groups.get(stall.fingerprint);
    if (known && !known.latest) known.latest = stall;
    if (stall.ongoing || counted) return; // counted once it has ended
    const at = Date.parse(stall.at);
    const group = known || { fingerprint: stall.fingerprint, cause: stall.cause, count: 0, total_s: 0, worst_s: 0, victims: 0,
      first_seen: stall.at, last_seen: stall.at };
    group.culprit = stall.culprit || group.culprit;
    group.innocent = stall.innocent;
    group.latest = stall;
    group.count += 1;
    group.total_s += stall.duration_s;
    group.worst_s = Math.max(group.worst_s, stall.duration_s);
    group.victims += stall.victims || 0;
    if (at >= Date.parse(group.last_seen)) group.last_seen = stall.at;
    this.groups.set(stall.fingerprint, group);
    this.trimGroups();
  }

  trimGroups() {
    if (this.groups.size <= MOST_GROUPS) return;
    const least = [...this.groups.values()].sort((a, b) => a.total_s - b.total_s)[0];
    this.groups.delete(least.fingerprint);
  }

  addCall(call) {
    const key = `${call.call} ${call.caller ? `${call.caller.file}:${call.caller.line}` : ""}`;
    const known = this.calls.get(key) || { call: call.call, caller: call.caller, count: 0, total_s: 0, worst_s: 0 };
    known.count += 1;
    known.total_s += call.duration_s || 0;
    known.worst_s = Math.max(known.worst_s, call.duration_s || 0);
    known.latest = call;
    this.calls.delete(key);
    this.calls.set(key, known); // the newest at the end, so that the oldest goes first
    if (this.calls.size > MOST_CALLS) this.calls.delete(this.calls.keys().next().value);
  }

  addPoint(loop, at, lag) {
    loop.times.push(at);
    loop.lags.push(lag);
    while (loop.times.length > MOST_POINTS || loop.times[0] < at - WINDOW_S - 5) { loop.times.shift(); loop.lags.shift(); }
  }
}

const HANDLERS = {
  hello(model, message) {
    model.clear(); // a new connection: all that is known comes again
    model.hello = message;
  },
  worker(model, message) {
    const worker = model.worker(message);
    worker.state = message.state;
    worker.why = message.why ?? null;
    if (message.state === "gone") worker.snapshot = null;
  },
  snapshot(model, message) {
    model.worker(message).snapshot = message;
  },
  history(model, message) {
    const loop = model.loop(message);
    if (loop.times.length) return;
    const end = model.now();
    message.lag_s.forEach((lag, index) => {
      model.addPoint(loop, end - (message.lag_s.length - index) * message.step_s, lag);
    });
  },
  state(model, message) {
    model.worker(message);
    const loop = model.loop(message);
    loop.kind = message.loop || loop.kind;
    loop.state = message.state;
    loop.since = model.now() - (message.for_s || 0);
    loop.lag = message.lag_s;
    loop.line = message.line || null;
    loop.holder = message.other_thread || null;
    loop.request = message.request || null;
    const late = ["blocked", "stopped", "starved"].includes(message.state);
    model.addPoint(loop, model.now(), late ? Math.max(message.for_s || 0, message.lag_s || 0) : message.lag_s);
    if (message.state === "gone") model.loops.delete(`${message.worker} ${message.thread}`);
  },
  stall(model, message) {
    model.addStall({ ...message.stall, worker: message.worker, source: message.source || null }, message.recent === true);
  },
  call(model, message) {
    model.addCall({ ...message.call, source: message.source || null });
  },
  groups(model, message) {
    // Totals of all that was seen before; the recent stalls that follow are among them.
    for (const group of message.groups) {
      model.groups.set(group.fingerprint, { ...group, innocent: group.culprit === null });
    }
  },
  dropped(model, message) {
    model.lost += message.lines;
  },
  "feed-gone"(model, message) {
    model.gone = message.why;
    for (const loop of model.loops.values()) loop.state = "gone";
  },
};

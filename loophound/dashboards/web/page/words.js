// How the page puts figures and places into words, as the other faces do.

export function duration(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return "–";
  if (seconds < 0.9995) return `${(seconds * 1000).toFixed(seconds < 0.00995 ? 1 : 0)} ms`;
  if (seconds < 100) return `${seconds.toFixed(2)} s`;
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

// "4 min", "3 h 12 min": for how long something has been up.
export function uptime(seconds) {
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1) return `${Math.floor(seconds)} s`;
  if (minutes < 60) return `${minutes} min`;
  return minutes < 2880 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${Math.floor(minutes / 1440)} days`;
}

export function share(value) {
  return value === null || value === undefined ? "–" : `${Math.round(value * 100)} %`;
}

export function number(value, digits = 0) {
  return value === null || value === undefined ? "–" : value.toLocaleString("en", { maximumFractionDigits: digits });
}

export function count(total, one, many) {
  return `${number(total)} ${total === 1 ? one : many}`;
}

export function place(at) {
  return at ? `${at.file.split("/").pop()}:${at.line} in ${at.function}` : "";
}

export function request(asked) {
  return asked ? `${asked.method} ${asked.path}` : "";
}

// What a stall is filed under: its culprit, or in words why nobody is to blame.
export function subject(stall) {
  if (stall.culprit) return place(stall.culprit);
  const thread = stall.other_thread;
  if (stall.cause === "contention" && thread) return `${thread.name ? `thread ${thread.name}` : "another thread"}: ${place(thread)}`;
  return {
    flood: "many short callbacks",
    starved: "the machine had no CPU to give",
    suspended: "the process was stopped",
    contention: "another thread",
  }[stall.cause] || (stall.blocking ? place(stall.blocking) : "unknown");
}

// "BLOCKED 1.4 s by app.py:44 in show in GET /x"
export function verdict(loop, forSeconds) {
  const holder = loop.holder ? ` by another thread, ${place(loop.holder)}` : "";
  const who = loop.line ? ` by ${place(loop.line)}` : holder;
  const where = loop.request ? ` in ${request(loop.request)}` : "";
  switch (loop.state) {
    case "blocked": return `BLOCKED ${duration(forSeconds)}${who}${where}`;
    case "stopped": return `STOPPED ${duration(forSeconds)}: the process is suspended`;
    case "starved": return `STARVED ${duration(forSeconds)}: the machine has no CPU for it`;
    case "gone": return "gone";
    case "busy": return "busy";
    case "ok": return "ok";
    default: return loop.state;
  }
}

export function clock(iso) {
  const at = new Date(iso);
  return Number.isNaN(at.getTime()) ? iso : at.toLocaleTimeString("en-GB");
}

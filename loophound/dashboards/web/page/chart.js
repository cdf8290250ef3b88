// The lag of each loop over the last two minutes, by uPlot (vendor/).

import { WINDOW_S } from "./model.js";
import { duration } from "./words.js";

const LEAST_S = 0.0001;
const TICKS_S = [0.0001, 0.001, 0.01, 0.1, 1, 10, 100];
// Told apart by dashes as well as by colour.
const STROKES = [["--blue"], ["--orange", [8, 4]], ["--fine", [2, 3]], ["--violet", [10, 3, 2, 3]]];
const HEIGHT_PX = 220;

export class LagChart {
  constructor(home, model) {
    this.home = home;
    this.model = model;
    this.names = "";
    this.plot = null;
    new ResizeObserver(() => this.fit()).observe(home);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { this.names = ""; });
  }

  show() {
    const loops = [...this.model.loops.values()];
    const names = loops.map((loop) => `worker ${loop.worker} ${loop.thread}`).join("\n");
    if (names !== this.names || !this.plot) this.make(loops, names);
    this.plot.setData(this.data(loops));
  }

  make(loops, names) {
    if (this.plot) this.plot.destroy();
    this.names = names;
    const style = getComputedStyle(document.documentElement);
    const ink = style.getPropertyValue("--dim").trim();
    const grid = { stroke: style.getPropertyValue("--line").trim(), width: 1 };
    const several = new Set(loops.map((loop) => loop.worker)).size > 1;
    const series = loops.map((loop, index) => {
      const [colour, dash] = STROKES[index % STROKES.length];
      const stroke = style.getPropertyValue(colour).trim();
      return { label: several ? `worker ${loop.worker} ${loop.thread}` : loop.thread, stroke, dash, width: 1.5, spanGaps: true,
        points: { show: false }, value: (_, lag) => duration(lag) };
    });
    const axis = { stroke: ink, grid, ticks: grid };
    const options = {
      width: this.home.clientWidth || 600,
      height: HEIGHT_PX,
      cursor: { y: false },
      legend: { show: loops.length > 1, live: true },
      scales: { x: { time: false, range: () => [-WINDOW_S, 0] }, y: { distr: 3, range: (_, low, high) => [LEAST_S, Math.max(1, high || 1) * 1.2] } },
      axes: [
        { ...axis, size: 30, values: (_, ticks) => ticks.map((tick) => (tick === 0 ? "now" : `${tick} s`)) },
        { ...axis, size: 64, splits: (_, __, low, high) => TICKS_S.filter((tick) => tick >= low && tick <= high), filter: (_, ticks) => ticks,
          values: (_, ticks) => ticks.map((tick) => (tick < 0.001 ? "0.1 ms" : tick < 1 ? `${Math.round(tick * 1000)} ms` : `${tick} s`)) },
      ],
      series: [{ label: "ago", value: (_, ago) => (ago === null ? "–" : `${(-ago).toFixed(0)} s`) }, ...series],
      hooks: { draw: [(plot) => this.drawThreshold(plot, style.getPropertyValue("--guilty").trim())] },
    };
    this.plot = new uPlot(options, this.data(loops), this.home);
  }

  data(loops) {
    const now = this.model.now();
    const tables = loops.map((loop) => [loop.times.map((at) => at - now), loop.lags.map((lag) => (lag === null ? null : Math.max(LEAST_S, lag)))]);
    return tables.length ? uPlot.join(tables) : [[-WINDOW_S, 0]];
  }

  drawThreshold(plot, stroke) {
    const threshold = this.model.hello && this.model.hello.threshold_s;
    if (!threshold) return;
    const y = plot.valToPos(threshold, "y", true);
    const pen = plot.ctx;
    pen.save();
    pen.strokeStyle = stroke;
    pen.setLineDash([6, 6]);
    pen.beginPath();
    pen.moveTo(plot.bbox.left, y);
    pen.lineTo(plot.bbox.left + plot.bbox.width, y);
    pen.stroke();
    pen.restore();
  }

  fit() {
    if (this.plot) this.plot.setSize({ width: this.home.clientWidth, height: HEIGHT_PX });
  }
}

"""A line for each loop, or two where the screen is narrow: state, lag, chart, percentiles, how busy."""

from __future__ import annotations

from rich.cells import cell_len
from rich.text import Text

from loophound.dashboards.top.look import (
    ALARM,
    BAD,
    DIM,
    GOOD,
    NOTICE,
    STRONG,
    WARN,
    Look,
    Span,
    box,
    busy_style,
    fit,
    lag_style,
    line,
    meter,
    sparkline,
)  # fmt: skip
from loophound.dashboards.top.state import LoopFigures, LoopState, Worker
from loophound.dashboards.top.timeline import condensed
from loophound.dashboards.top.views.scene import Scene
from loophound.dashboards.top.words import ago, short_time, state_words
from loophound.dashboards.wording import safe

NEWS_S = 60.0  # for how long it is told that a worker was replaced
STATE_STYLES = {
    LoopState.OK: GOOD,
    LoopState.BUSY: WARN,
    LoopState.BLOCKED: ALARM,
    LoopState.STARVED: NOTICE,
    LoopState.STOPPED: NOTICE,
    LoopState.GONE: BAD,
}
CHARTS = (120, 60, 40, 30, 24, 20, 15)  # widths that share two minutes evenly
METER = 5
FIGURES = 3 * 13 + 2 + METER + 5  # three percentiles with their names, and the meter
LAG = 12


def height(scene: Scene, most: int) -> int:
    """Of the panel: two lines for each loop, or one, or as many as there may be."""
    rows = max(1, len(_rows(scene)))
    return 2 + 2 * rows if 2 + 2 * rows <= most else min(2 + rows, most)


def loops(scene: Scene, width: int, height: int) -> list[Text]:
    """Two lines for each loop, or one where there is no room; those in trouble first where even that is too much."""
    look, inner = scene.look, width - 4
    rows = _rows(scene)
    room, left_out = height - 2, 0
    tall = 2 * len(rows) <= room
    if len(rows) > room:
        rows = sorted(rows, key=lambda row: not _is_trouble(row))
        rows, left_out = rows[:room], len(rows) - room
    lines: list[Text] = []
    for worker, loop in rows:
        lines += _tall(scene, worker, loop, inner) if tall else [_flat(scene, worker, loop, inner)]
    if not rows:
        lines.append(line([("no loop yet", DIM)], inner, look))
    title: list[Span] = [("loops", STRONG)]
    if left_out:
        title.append((f" {len(rows)} of {len(rows) + left_out}", WARN))
    return box(lines, width, height, look, title, "lag, the last two minutes")


def _rows(scene: Scene) -> list[tuple[Worker, LoopFigures | None]]:
    rows: list[tuple[Worker, LoopFigures | None]] = []
    for worker in scene.board.workers:
        rows += [(worker, loop) for loop in worker.loops.values()] or [(worker, None)]
    return rows


def _is_trouble(row: tuple[Worker, LoopFigures | None]) -> bool:
    worker, loop = row
    return worker.gone or (loop is not None and loop.state.is_trouble)


def _chart_width(room: int) -> int:
    return next((width for width in CHARTS if width <= room), 0)


def _tall(scene: Scene, worker: Worker, loop: LoopFigures | None, inner: int) -> list[Text]:
    name = _name(worker, loop, short=inner < 100)
    first = [(name, STRONG), ("  ", ""), *_state(scene, worker, loop, inner - len(name) - 4 - LAG), ("  ", "")]
    chart = _chart_width(inner - FIGURES - 2)
    second: list[Span] = []
    if loop is not None:
        first += [("lag ", DIM), _lag(scene, loop, LAG - 4)]
        second = [*_chart(scene, loop, chart), (" " * (inner - FIGURES - chart), ""), *_figures(scene, loop)]
    return [line(first, inner, scene.look), line(second, inner, scene.look)]


def _flat(scene: Scene, worker: Worker, loop: LoopFigures | None, inner: int) -> Text:
    look = scene.look
    chart = _chart_width(min(inner // 3, inner - 60))
    name = fit(_name(worker, loop, short=inner < 150), 3 if inner < 150 else 24, look)
    right = chart + 1 + 8 + 2 + METER + 5
    spans = [(name, STRONG), *_state(scene, worker, loop, inner - len(name) - right - 1), (" ", "")]
    if loop is not None:
        spans += [*_chart(scene, loop, chart), (" ", ""), _lag(scene, loop, 8), ("  ", ""), *_busy(scene, loop)]
    return line(spans, inner, look)


def _name(worker: Worker, loop: LoopFigures | None, *, short: bool) -> str:
    main = loop is None or loop.thread == "MainThread"
    if short:
        return str(worker.number) if main else f"{worker.number}+"
    name = f"worker {worker.number}  pid {worker.pid}"
    return name if main or loop is None else f"{name}  {safe(loop.thread, 20)}"


def _state(scene: Scene, worker: Worker, loop: LoopFigures | None, width: int) -> list[Span]:
    """The badge and what is known, in exactly `width` columns."""
    look, now_s = scene.look, scene.now_s
    if worker.gone or loop is None:
        return _padded(
            [(safe(worker.state, 20), BAD if worker.gone else DIM), ("  ", ""), (_what_became(worker, now_s), "")],
            width,
            look,
        )
    badge, about = state_words(loop, now_s)
    style = STATE_STYLES.get(loop.state, DIM)
    spans: list[Span] = [(f" {badge} ", style)] if loop.state.is_trouble else [(look.live, style), (f" {badge}", style)]
    spans += [("  ", ""), *about]
    if not loop.state.is_trouble:
        if worker.former_pid is not None and now_s - worker.since_s < NEWS_S:
            became = safe((worker.former_why or "has ended").removeprefix("it "), 40)
            spans.append((f"new {ago(now_s - worker.since_s)}: {worker.former_pid} {became}", WARN))
        elif worker.state != "ready":
            spans.append((safe(worker.state, 20), WARN))
    return _padded(spans, width, look)


def _what_became(worker: Worker, now_s: float) -> str:
    if not worker.gone:
        return ""
    return f"{safe(worker.why or f'process {worker.pid} has ended', 60)} {ago(now_s - worker.since_s)}"


def _padded(spans: list[Span], width: int, look: Look) -> list[Span]:
    made: list[Span] = []
    room = width
    for text, style in spans:
        text = look.plain(text)
        length = cell_len(text)
        if length > room:
            made.append((fit(text, room, look), style))
            return made
        made.append((text, style))
        room -= length
    return [*made, (" " * room, "")]


def _lag(scene: Scene, loop: LoopFigures, width: int) -> Span:
    if loop.state is LoopState.GONE:
        return fit("-", width, scene.look, right=True), DIM
    lag_s = loop.lag_now_s(scene.now_s)
    style = f"bold {lag_style(lag_s, scene.threshold_s)}"
    return fit(short_time(lag_s), width, scene.look, right=True), style


def _chart(scene: Scene, loop: LoopFigures, width: int) -> list[Span]:
    values = loop.lags.values(scene.now_s)
    if loop.state.is_trouble:
        values[-1] = max(loop.lag_now_s(scene.now_s), values[-1] or 0.0)
    return sparkline(condensed(values, width), scene.threshold_s, scene.look)


def _figures(scene: Scene, loop: LoopFigures) -> list[Span]:
    look = scene.look
    spans: list[Span] = []
    for name, lag_s in (("p50", loop.p50_s), ("p99", loop.p99_s), ("max", loop.max_s)):
        style = BAD if lag_s is not None and lag_s >= scene.threshold_s else "" if lag_s is not None else DIM
        spans += [(f"  {name}", DIM), (fit(short_time(lag_s), 8, look, right=True), style)]
    return [*spans, ("  ", ""), *_busy(scene, loop)]


def _busy(scene: Scene, loop: LoopFigures) -> list[Span]:
    if loop.utilisation is None or loop.state is LoopState.GONE:
        return [(fit("-", METER + 5, scene.look, right=True), DIM)]
    style = busy_style(loop.utilisation)
    return [*meter(loop.utilisation, METER, scene.look, style), (f"{loop.utilisation:5.0%}", style)]

"""Two lines on the whole server."""

from __future__ import annotations

from rich.text import Text

from loophound.dashboards.top.look import ACCENT, ALARM, BAD, DIM, GOOD, NOTICE, STRONG, WARN, Span, line
from loophound.dashboards.top.state import LoopState
from loophound.dashboards.top.views.scene import Scene
from loophound.dashboards.top.words import amount, clock, long_time, per_second, short_time
from loophound.dashboards.wording import safe

SILENT_S = 2.5  # the feed says something four times a second


def header(scene: Scene, width: int) -> list[Text]:
    return [_title(scene, width), _figures(scene, width)]


def _title(scene: Scene, width: int) -> Text:
    look, server = scene.look, scene.board.server
    spans: list[Span] = [(" loophound ", f"bold black on {ACCENT}"), (" ", "")]
    if server is not None:
        spans.append((safe(server.app, 60), STRONG))
        number = len(scene.board.workers)
        about = [
            *(safe(address, 80) for address in server.addresses[:2]),
            f"pid {safe(server.name, 20)}",
            f"{number} workers" if number > 1 else "",
        ]
        for text in filter(None, about):
            if width >= 100 or not text.startswith("pid"):
                spans += [("  " if look.unicode else " ", DIM), (text, "")]
    return line(spans, width, look, end=[*_signal(scene), (" ", "")])


def _signal(scene: Scene) -> list[Span]:
    """Whether what is shown is alive."""
    look, paused_s = scene.look, scene.interface.paused_s
    if scene.link:
        return [(f" {look.ring} {scene.link} ", NOTICE)]
    if paused_s is not None:
        return [(f" PAUSED {clock(scene.real_now_s - paused_s)} ", NOTICE)]
    heard_s = scene.board.heard_s
    if heard_s is not None and scene.real_now_s - heard_s > SILENT_S:
        return [(f" {look.ring} no word for {clock(scene.real_now_s - heard_s)} ", NOTICE)]
    trouble = [loop for loop in scene.board.loops() if loop.state.is_trouble]
    if trouble:
        worst = max(trouble, key=lambda loop: (loop.state is LoopState.BLOCKED, loop.lasting_s(scene.now_s)))
        return [(f" {look.live} {worst.state.value.upper()} ", ALARM if worst.state is LoopState.BLOCKED else NOTICE)]
    return [(f"{look.live} live", GOOD)]


def _figures(scene: Scene, width: int) -> Text:
    board = scene.board
    requests, culprits = board.requests(), board.culprits.values()
    held_s = sum(culprit.total_s for culprit in culprits)
    stalls = sum(culprit.count for culprit in culprits)
    dropped = board.lost + sum(worker.dropped for worker in board.workers)
    tasks = sum(worker.tasks for worker in board.workers)
    figures: list[tuple[str, str, str]] = []
    if requests is not None:
        figures += [
            ("", f"{per_second(requests.per_s)} req/s", STRONG),
            ("in flight", amount(requests.in_flight), STRONG),
            ("p50", short_time(requests.p50_s), STRONG),
            ("p99", short_time(requests.p99_s), STRONG),
        ]
    stalled = f"bold {BAD}" if stalls else STRONG
    figures += [("stalls", amount(stalls), stalled), ("held", short_time(held_s) if stalls else "-", stalled)]
    if board.server is not None:
        figures.append(("up", long_time(scene.now_s - board.server.started_s), ""))
    figures += [("tasks", amount(tasks), ""), ("threshold", short_time(scene.threshold_s), "")]
    if dropped:
        figures.insert(0, ("dropped", amount(dropped), f"bold {WARN}"))
    spans: list[Span] = []
    gap, used = "   " if width >= 110 else "  ", 0
    for label, value, style in figures:
        before = gap if spans else " "
        used += len(before) + len(label) + bool(label) + len(value)
        if used > width:
            break
        spans += [(f"{before}{label} " if label else before, DIM), (value, style)]
    return line(spans, width, scene.look)

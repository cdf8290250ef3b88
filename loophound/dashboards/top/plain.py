"""Without a terminal: a line a second that says how the server does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from loophound.dashboards.top.app import Dashboard
from loophound.dashboards.top.state import LoopFigures
from loophound.dashboards.top.words import amount, per_second, short_time, state_words

LINE_S = 1.0


def lines(dashboard: Dashboard, wall: Callable[[], datetime] = datetime.now) -> Iterator[str]:
    """One a second, for ever."""
    due_s = dashboard.now_s() + LINE_S
    while True:
        left_s = due_s - dashboard.now_s()
        if left_s <= 0:
            yield f"{wall():%H:%M:%S} {summary(dashboard)}"
            due_s = max(due_s + LINE_S, dashboard.now_s())
        else:
            dashboard.read(left_s)


def summary(dashboard: Dashboard) -> str:
    """`ok, lag 0.2 ms, p99 1.3 ms, busy 34%, 1,204 req/s, 32 in flight, 3 stalls, held 1.24 s`."""
    scene = dashboard.scene()
    if scene.link:
        return scene.link
    board, now_s = scene.board, scene.now_s
    loops = board.loops()
    gone = [f"worker {one.number} {(one.why or 'has ended').removeprefix('it ')}" for one in board.workers if one.gone]
    troubled = [loop for loop in loops if loop.state.is_trouble]
    parts = [*(_trouble(loop, now_s, several=len(loops) > 1) for loop in troubled), *gone] or ["ok"]
    if loops:
        parts.append(f"lag {short_time(max(loop.lag_now_s(now_s) for loop in loops))}")
        p99_s = [loop.p99_s for loop in loops if loop.p99_s is not None]
        busy = [loop.utilisation for loop in loops if loop.utilisation is not None]
        parts += [f"p99 {short_time(max(p99_s))}"] if p99_s else []
        parts += [f"busy {max(busy):.0%}"] if busy else []
    requests = board.requests()
    if requests is not None:
        parts += [f"{per_second(requests.per_s)} req/s", f"{amount(requests.in_flight)} in flight"]
    stalls = sum(culprit.count for culprit in board.culprits.values())
    held_s = sum(culprit.total_s for culprit in board.culprits.values())
    parts.append(f"{amount(stalls)} stalls, held {short_time(held_s)}" if stalls else "0 stalls")
    return scene.look.plain(", ".join(parts))


def _trouble(loop: LoopFigures, now_s: float, *, several: bool) -> str:
    badge, about = state_words(loop, now_s)
    words = "".join(text for text, _ in about)
    return f"{f'worker {loop.worker} ' if several else ''}{badge} {words}".strip()

"""How the process does, for the feed: loops, requests, tasks, executors. Made on a thread of its own."""

from __future__ import annotations

from typing import Any

from loophound.detector.records import Snapshot
from loophound.detector.stats import LoopStats
from loophound.times import now_iso

Message = dict[str, Any]


def snapshot_of(pid: int, loop: str, thread: str, stats: LoopStats) -> Snapshot:
    lag = stats.lag
    return Snapshot(
        at=now_iso(),
        pid=pid,
        loop=loop,
        thread=thread,
        watched_s=round(stats.watched_ns / 1e9, 3),
        beats=lag.count,
        lag_p50_s=round(lag.percentile_ns(50) / 1e9, 6),
        lag_p99_s=round(lag.percentile_ns(99) / 1e9, 6),
        lag_max_s=round(lag.largest_ns / 1e9, 6),
        utilisation=round(stats.utilisation, 4),
    )


class Lately:
    """What one loop has done since it was asked last."""

    def __init__(self) -> None:
        self._watched_ns = self._cpu_ns = self._found_busy_ns = 0

    def take(self, stats: LoopStats) -> Message:
        watched_ns = stats.watched_ns - self._watched_ns
        busy_ns = max(stats.cpu_ns - self._cpu_ns, stats.found_busy_ns - self._found_busy_ns)
        self._watched_ns, self._cpu_ns, self._found_busy_ns = stats.watched_ns, stats.cpu_ns, stats.found_busy_ns
        largest_ns, stats.largest_lately_ns = stats.largest_lately_ns, 0
        return {
            "recent_lag_s": round(largest_ns / 1e9, 6),
            "recent_utilisation": round(min(1.0, max(0.0, busy_ns / watched_ns)), 4) if watched_ns > 0 else 0.0,
        }


class Loops:
    """The part of a snapshot that tells of the loops."""

    def __init__(self) -> None:
        self._lately: dict[int, Lately] = {}  # by id of the stats, which live as long as the detector

    def take(self, pid: int, stats: list[tuple[str, str, LoopStats]]) -> list[Message]:
        return [
            {
                **snapshot_of(pid, loop, thread, each).to_dict(),
                **self._lately.setdefault(id(each), Lately()).take(each),
            }
            for loop, thread, each in stats
        ]

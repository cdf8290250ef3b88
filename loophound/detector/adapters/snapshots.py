"""How the process does, for the feed: loops, requests, tasks, executors. Made on a thread of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

from loophound.detector.adapters.work import describe_request
from loophound.detector.figures import RequestFigures, histogram_of, seconds
from loophound.detector.records import Request, Snapshot, Stall
from loophound.detector.stats import LoopStats
from loophound.server.hooks import Exchange, Served
from loophound.times import now_iso

Message = dict[str, Any]

MOST_IN_FLIGHT = 20
SLICE = 1000
# In a second: a thousand in the ten seconds of a percentile, and a quarter of a millisecond of work.
MOST_NOTED = 100
# Not asdict(), which copies each text: it took a third of a snapshot's time.
REQUEST_FIELDS = tuple(entry.name for entry in fields(Request))


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
                "lag_histogram": histogram_of(each.lag),
            }
            for loop, thread, each in stats
        ]


class Requests:
    """The part of a snapshot that tells of requests, on whichever loops they are served."""

    def __init__(self) -> None:
        self.figures = RequestFigures()
        self._asked_s = time.monotonic()
        self._wanted = False

    def take(self, served: Sequence[Served], wanted: bool) -> Message:
        """`requests`, `routes` and `in_flight`; nothing where no server runs, or nobody wants to know."""
        ended = [each.take_ended(MOST_NOTED if wanted else 0) for each in served]
        passed_s, self._asked_s = time.monotonic() - self._asked_s, time.monotonic()
        before, self._wanted = self._wanted, wanted
        if not served or not (wanted and before):
            return {"requests": None, "routes": [], "in_flight": []}
        figures = self.figures
        figures.begin_step()
        for requests, stride, noted in ended:
            figures.count(requests)
            figures.add(noted, stride)
        in_flight = [exchange for each in served for exchange in unfinished(each)]
        p50_s, p99_s = figures.percentiles_s((50, 99))
        return {
            "requests": {
                "total": figures.total,
                "per_s": round(sum(each.requests for each in ended) / passed_s, 1) if passed_s > 0 else 0.0,
                "in_flight": len(in_flight),
                "p50_s": p50_s,
                "p99_s": p99_s,
                "histogram": figures.histogram(),
            },
            "routes": figures.routes(),
            "in_flight": oldest(in_flight),
        }

    def held(self, stall: Stall) -> None:
        """A face of the detector's stream."""
        request = stall.request
        if request is not None and not stall.ongoing:
            self.figures.held(f"{request.method} {request.route or request.path}", stall.duration_s)


def unfinished(served: Served) -> Iterator[Exchange]:
    """The exchanges in flight, each once, with pauses for the loop in between."""
    seen: set[int] = set()
    try:
        for number, exchange in enumerate(served.exchanges()):
            if number % SLICE == SLICE - 1:
                time.sleep(0)
            if exchange.began_ns and not exchange.ended_ns and id(exchange) not in seen:
                seen.add(id(exchange))
                yield exchange
    except RuntimeError:  # somebody came or went meanwhile
        return


def oldest(in_flight: Sequence[Exchange]) -> list[Message]:
    """The requests that have been at work for longest."""
    now_ns = time.monotonic_ns()
    chosen = sorted(in_flight, key=lambda exchange: exchange.began_ns)[:MOST_IN_FLIGHT]
    return [
        {**plain(describe_request(exchange.scope)), "age_s": seconds(now_ns - exchange.began_ns)} for exchange in chosen
    ]


def plain(request: Request) -> Message:
    return {name: getattr(request, name) for name in REQUEST_FIELDS}

"""How requests have done: sums by route, and percentiles of the last seconds. Pure, and bounded."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from loophound.detector.stats import BORDERS, Histogram

MOST_ROUTES = 200  # that are told apart
MOST_SHOWN = 50
OTHERS = "(other routes)"
WINDOW_STEPS = 10  # seconds over which percentiles are told


@dataclass(slots=True)
class Route:
    """One route: its requests, and the stalls that it caused."""

    times: Histogram = field(default_factory=Histogram)
    held_s: float = 0.0
    stalls: int = 0


class RequestFigures:
    """Fed with what ended, step by step, and asked in between."""

    def __init__(self) -> None:
        self.total = 0
        self._times = Histogram()  # but for the second that goes on
        self._routes: dict[str, Route] = {}
        self._window: deque[Histogram] = deque([Histogram()], maxlen=WINDOW_STEPS)

    def begin_step(self) -> None:
        """Another second begins."""
        self._times.merge(self._window[-1])
        self._window.append(Histogram())

    def count(self, ended: int) -> None:
        self.total += ended

    def add(self, finished: Iterable[tuple[str, Any, int]], stride: int = 1) -> None:
        """Requests that ended, each of which stands for `stride`: method, route or path, nanoseconds."""
        lately = self._window[-1]
        for method, where, took_ns in finished:
            path = where if where.__class__ is str else getattr(where, "path", None) or str(where)
            self._route(f"{method} {path}").times.add(took_ns, stride)
            lately.add(took_ns, stride)

    def held(self, route: str, seconds: float) -> None:
        """A request of this route has blocked the loop."""
        entry = self._route(route)
        entry.held_s += seconds
        entry.stalls += 1

    def _route(self, name: str) -> Route:
        entry = self._routes.get(name)
        if entry is None:
            if len(self._routes) >= MOST_ROUTES:
                name = OTHERS
            entry = self._routes.setdefault(name, Route())
        return entry

    def percentiles_s(self, percents: Sequence[float]) -> list[float | None]:
        """Of the last seconds; None when nothing ended in them."""
        merged = Histogram()
        for step in self._window:
            merged.merge(step)
        return [seconds(merged.percentile_ns(percent)) if merged.count else None for percent in percents]

    def histogram(self) -> dict[str, Any]:
        times = Histogram()
        times.merge(self._times)
        times.merge(self._window[-1])
        return histogram_of(times)

    def routes(self) -> list[dict[str, Any]]:
        """Those that held the loop longest, then the slowest."""
        entries: list[dict[str, Any]] = [
            {
                "route": name,
                "count": route.times.count,
                "p50_s": seconds(route.times.percentile_ns(50)),
                "p99_s": seconds(route.times.percentile_ns(99)),
                "max_s": seconds(route.times.largest_ns),
                "held_s": round(route.held_s, 6),
                "stalls": route.stalls,
            }
            for name, route in list(self._routes.items())
        ]
        return sorted(entries, key=lambda entry: (-entry["held_s"], -entry["p99_s"]))[:MOST_SHOWN]


def histogram_of(times: Histogram) -> dict[str, Any]:
    """As Prometheus has it: how many took at most so many seconds."""
    return {"le_s": [*BORDERS], "counts": times.up_to([*BORDERS.values()]), "sum_s": seconds(times.total_ns)}


def seconds(duration_ns: int) -> float:
    return round(duration_ns / 1e9, 6)

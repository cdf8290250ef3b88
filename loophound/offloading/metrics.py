"""What offloading costs and how full it is, counted for each executor."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from weakref import WeakSet

from loophound.detector.stats import Histogram

PERCENTS = (50, 99)


@dataclass(slots=True)
class Counts:
    """The counters of one executor. Sums and maxima are seconds of finished calls."""

    calls: int = 0  # accepted, whatever became of them
    waiting: int = 0
    in_flight: int = 0  # on a worker now, those that nobody waits for any more included
    rejected: int = 0  # the queue was full
    failed: int = 0  # ended in an exception
    timed_out: int = 0
    cancelled: int = 0
    abandoned: int = 0  # given up while they ran
    queue_wait_s: float = 0.0
    queue_wait_max_s: float = 0.0
    run_s: float = 0.0
    run_max_s: float = 0.0
    pickling_s: float = 0.0  # arguments and results, on both sides
    pickled_bytes: int = 0
    waits: Histogram = field(default_factory=Histogram, repr=False, compare=False)
    runs: Histogram = field(default_factory=Histogram, repr=False, compare=False)
    lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    def add(self, **amounts: float) -> None:
        """Add to the named counters, as one step for those who read."""
        with self.lock:
            for name, amount in amounts.items():
                setattr(self, name, getattr(self, name) + amount)

    def waited(self, seconds: float) -> None:
        """One call waited so long until a worker took it."""
        with self.lock:
            self.queue_wait_s += seconds
            self.queue_wait_max_s = max(self.queue_wait_max_s, seconds)
            self.waits.add(round(seconds * 1e9))

    def ran(self, seconds: float) -> None:
        """One call ran so long."""
        with self.lock:
            self.run_s += seconds
            self.run_max_s = max(self.run_max_s, seconds)
            self.runs.add(round(seconds * 1e9))

    def to_dict(self) -> dict[str, float]:
        """Plain numbers; percentiles of all calls so far, at most a quarter too high, are named as `run_p99_s`."""
        with self.lock:
            plain = {name: getattr(self, name) for name in self.__slots__ if name not in ("lock", "waits", "runs")}
            for name, times in (("queue_wait", self.waits), ("run", self.runs)):
                plain |= {f"{name}_p{percent}_s": times.percentile_ns(percent) / 1e9 for percent in PERCENTS}
        return plain


class OffloadMetrics:
    """The counters by executor: "thread", "process", "interpreter", "route", or a registered name."""

    def __init__(self) -> None:
        self._counts: dict[str, Counts] = {}
        in_use.add(self)

    def __getitem__(self, executor: str) -> Counts:
        return self._counts.setdefault(executor, Counts())

    def to_dict(self) -> dict[str, dict[str, float]]:
        """A snapshot as plain numbers, for JSON or a metrics exporter."""
        return {name: counts.to_dict() for name, counts in sorted(self._counts.items())}


in_use: WeakSet[OffloadMetrics] = WeakSet()  # for dashboards

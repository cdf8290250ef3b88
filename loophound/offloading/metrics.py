"""What offloading costs and how full it is, counted for each executor."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from weakref import WeakSet


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
    lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    def add(self, **amounts: float) -> None:
        """Add to the named counters, as one step for those who read."""
        with self.lock:
            for name, amount in amounts.items():
                setattr(self, name, getattr(self, name) + amount)

    def took(self, *, queue_wait_s: float = 0.0, run_s: float = 0.0) -> None:
        """One call waited, or ran, so many seconds."""
        with self.lock:
            self.queue_wait_s += queue_wait_s
            self.queue_wait_max_s = max(self.queue_wait_max_s, queue_wait_s)
            self.run_s += run_s
            self.run_max_s = max(self.run_max_s, run_s)

    def to_dict(self) -> dict[str, float]:
        with self.lock:
            return {name: getattr(self, name) for name in self.__slots__ if name != "lock"}


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

"""How late a loop answers and how busy it is: bounded figures, always kept. Pure.

A single callback may be too short to be a stall; ten in a row show here.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import log10

from loophound.detector.facts import LoopBeat, SeenAlive

# From 10 µs to 1000 s, a tenth of a decade each: a percentile is at most a quarter too high, and never too low.
LEAST_NS = 10_000
BUCKETS_IN_A_DECADE = 10
# A loop that has nothing to do answers within a tenth of that.
BUSY_NS = 1_000_000
BUCKETS = 8 * BUCKETS_IN_A_DECADE + 1


# The borders that metrics show: buckets 10 µs * 10^(n/10), so that 0.002 stands for 0.001995.
BORDERS = {
    0.0001: 10, 0.0002: 13, 0.0005: 17, 0.001: 20, 0.002: 23, 0.005: 27, 0.01: 30, 0.02: 33, 0.05: 37, 0.1: 40,
    0.2: 43, 0.5: 47, 1.0: 50, 2.0: 53, 5.0: 57, 10.0: 60, 20.0: 63, 50.0: 67, 100.0: 70,
}  # fmt: skip


class Histogram:
    """Durations by their order of magnitude, in a fixed number of buckets."""

    __slots__ = ("_counts", "count", "largest_ns", "total_ns")

    def __init__(self) -> None:
        self._counts = [0] * BUCKETS
        self.count = 0
        self.largest_ns = 0
        self.total_ns = 0

    def add(self, duration_ns: int, times: int = 1) -> None:
        self.count += times
        self.total_ns += duration_ns * times
        if duration_ns > self.largest_ns:
            self.largest_ns = duration_ns
        bucket = int(log10(duration_ns / LEAST_NS) * BUCKETS_IN_A_DECADE) + 1 if duration_ns > LEAST_NS else 0
        self._counts[bucket if bucket < BUCKETS else BUCKETS - 1] += times

    def merge(self, other: Histogram) -> None:
        self.count += other.count
        self.total_ns += other.total_ns
        self.largest_ns = max(self.largest_ns, other.largest_ns)
        self._counts = [ours + theirs for ours, theirs in zip(self._counts, other._counts, strict=True)]

    def up_to(self, borders: Sequence[int]) -> list[int]:
        """How many there are below the upper border of each of these buckets."""
        sums = list(accumulate(self._counts))
        return [sums[bucket] for bucket in borders]

    def percentile_ns(self, percent: float) -> int:
        """So many per cent were shorter, to the precision of a bucket; 0 when there are none."""
        wanted = self.count * percent / 100
        seen = 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if count and seen >= wanted:
                return min(self.largest_ns, round(LEAST_NS * 10 ** (bucket / BUCKETS_IN_A_DECADE)))
        return 0


class LoopStats:
    """Of a loop while it runs; a loop may run several times."""

    __slots__ = ("_last", "cpu_ns", "found_busy_ns", "lag", "largest_lately_ns", "last_lag_ns", "watched_ns")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self._last: LoopBeat | SeenAlive = LoopBeat(0, 0, 0)
        self.lag = Histogram()  # from the question to the answer
        self.watched_ns = 0
        self.cpu_ns = 0
        self.found_busy_ns = 0
        self.last_lag_ns = 0
        self.largest_lately_ns = 0  # since a reader set it back

    def begins(self, beat: LoopBeat) -> None:
        """A run begins; the time since the one before does not count."""
        self._last = beat

    def answered(self, beat: LoopBeat | SeenAlive, lag_ns: int) -> None:
        """A beat, and for how long the loop had been asked, or due, by then."""
        if not self._last.at_ns:  # it was cleared while the question was on its way
            self._last = beat
            return
        self.last_lag_ns = lag_ns = max(0, lag_ns)
        if lag_ns > self.largest_lately_ns:
            self.largest_lately_ns = lag_ns
        self.lag.add(lag_ns)
        passed_ns = beat.at_ns - self._last.at_ns
        self.watched_ns += passed_ns
        self.cpu_ns += beat.cpu_ns - self._last.cpu_ns
        if lag_ns >= BUSY_NS:
            self.found_busy_ns += passed_ns
        self._last = beat

    @property
    def utilisation(self) -> float:
        """The share of the time in which the loop was busy, from 0 to 1: it computed, or was found
        busy when it was asked, for a call that waits keeps the loop from turning as well.
        """
        return min(1.0, max(self.cpu_ns, self.found_busy_ns) / self.watched_ns) if self.watched_ns else 0.0

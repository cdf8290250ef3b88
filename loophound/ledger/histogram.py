"""Durations in bounded memory: a histogram whose buckets grow by a fixed ratio."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, Self

SMALLEST_S = 0.001
BUCKETS_IN_AN_OCTAVE = 8  # a bucket is 9 % wide, so that its middle is right to 4.5 %
HALF_A_BUCKET = 2 ** (0.5 / BUCKETS_IN_AN_OCTAVE)
LAST_BUCKET = 24 * BUCKETS_IN_AN_OCTAVE  # begins at 4.7 hours


class Histogram:
    """Counts of durations in at most LAST_BUCKET + 1 buckets; like histograms add up exactly."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add(self, duration_s: float) -> None:
        self._counts[_bucket(duration_s)] += 1

    def merge(self, other: Histogram) -> None:
        self._counts.update(other._counts)

    def percentile(self, share: float) -> float:
        """The duration in seconds that `share` (0 to 1) of all do not exceed; 0 without any."""
        left = math.ceil(share * self._counts.total())
        for bucket, times in sorted(self._counts.items()):
            left -= times
            if left <= 0:
                return SMALLEST_S * 2 ** (bucket / BUCKETS_IN_AN_OCTAVE) * HALF_A_BUCKET
        return 0.0

    def to_dict(self) -> dict[str, int]:
        """Bucket numbers and counts, for JSON."""
        return {str(bucket): times for bucket, times in sorted(self._counts.items())}

    @classmethod
    def from_dict(cls, counts: Any) -> Self:
        """Read it back. Raises ValueError for anything else."""
        if not isinstance(counts, Mapping):
            raise ValueError(f"no histogram: {counts!r:.60}")
        histogram = cls()
        for bucket, times in counts.items():
            if not 0 <= int(bucket) <= LAST_BUCKET or not isinstance(times, int):
                raise ValueError(f"no bucket of a histogram: {bucket!r}: {times!r}")
            histogram._counts[int(bucket)] = times
        return histogram


def _bucket(duration_s: float) -> int:
    if duration_s <= SMALLEST_S:
        return 0
    return min(int(math.log2(duration_s / SMALLEST_S) * BUCKETS_IN_AN_OCTAVE), LAST_BUCKET)

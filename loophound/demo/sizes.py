"""How much work a planted blocker does, so that it takes about as long on any machine.

Each blocker whose time depends on the machine is tried with little work, and the amount is
scaled up from there. All of it costs well under a second, before the first request.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

TARGET_S = 0.35  # well above the usual threshold of 0.1 s, even where calibration was off by half
SCHEDSTAT = Path("/proc/thread-self/schedstat")
PROBE_S = 0.02  # a trial shorter than this says little


@dataclass(slots=True)
class Sizes:
    """Set once, when the application starts; the defaults suit tests that only want an answer."""

    sales: int = 1
    review_length: int = 1
    products: int = 1
    order_lines: int = 1
    ratings: int = 1


sizes = Sizes()


def linear_size(work: Callable[[int], object], target_s: float = TARGET_S) -> int:
    """How many units of `work` take `target_s` seconds, where time grows with the number of units."""
    units = 64
    while (elapsed_s := _best_time_s(work, units)) < PROBE_S:
        units *= 4
    return max(1, round(units * target_s / elapsed_s))


def exponential_size(work: Callable[[int], object], target_s: float = TARGET_S) -> int:
    """How many units of `work` take about `target_s` seconds, where each unit doubles the time."""
    units = 8
    while (elapsed_s := _best_time_s(work, units)) < PROBE_S:
        units += 1
    return units + round(math.log2(target_s / elapsed_s))


def undisturbed_time_s() -> float:
    """A clock that stands still while the machine has no CPU for this thread.

    On a busy machine wall time would make the blockers too short. The second field of schedstat
    is the time spent waiting on a run queue (Linux, Documentation/scheduler/sched-stats.rst);
    where there is none, this is wall time.
    """
    try:
        waited_ns = int(SCHEDSTAT.read_text(encoding="ascii").split()[1])
    except OSError:
        waited_ns = 0
    return time.perf_counter() - waited_ns / 1e9


def _best_time_s(work: Callable[[int], object], units: int) -> float:
    # The smaller of two: a disturbance can only make a trial slower.
    return min(_time_s(work, units), _time_s(work, units))


def _time_s(work: Callable[[int], object], units: int) -> float:
    began_s = undisturbed_time_s()
    work(units)
    return undisturbed_time_s() - began_s

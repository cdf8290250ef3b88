"""How much work a planted blocker does, so that it takes about as long on any machine.

Each blocker whose time depends on the machine is tried with little work, and the amount is
scaled up from there. All of it costs well under a second, before the first request.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

TARGET_S = 0.35  # well above the usual threshold of 0.1 s, even where calibration was off by half
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


def linear_size(
    work: Callable[[int], object], target_s: float = TARGET_S, clock: Callable[[], float] = time.thread_time
) -> int:
    """How many units of `work` take `target_s` seconds, where time grows with the number of units.

    The clock is that of the thread's CPU, which other processes do not disturb; work that
    waits needs time.perf_counter.
    """
    units = 64
    while (elapsed_s := _best_time_s(work, units, clock)) < PROBE_S:
        units *= 4
    return max(1, round(units * target_s / elapsed_s))


def exponential_size(work: Callable[[int], object], target_s: float = TARGET_S) -> int:
    """How many units of `work` take about `target_s` seconds of CPU, where each unit doubles the time."""
    units = 8
    while (elapsed_s := _best_time_s(work, units, time.thread_time)) < PROBE_S:
        units += 1
    return units + round(math.log2(target_s / elapsed_s))


def _best_time_s(work: Callable[[int], object], units: int, clock: Callable[[], float]) -> float:
    # The smaller of two: a disturbance can only make a trial slower.
    return min(_time_s(work, units, clock), _time_s(work, units, clock))


def _time_s(work: Callable[[int], object], units: int, clock: Callable[[], float]) -> float:
    began = clock()
    work(units)
    return clock() - began

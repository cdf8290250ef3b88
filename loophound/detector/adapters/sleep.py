"""Notices that the machine slept: CLOCK_BOOTTIME counts that time and CLOCK_MONOTONIC does not, clock_gettime(2)."""

from __future__ import annotations

import time
from collections.abc import Callable

from loophound.detector.facts import MachineSlept

LEAST_NS = 10_000_000
BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", None)


def _ahead_ns() -> tuple[int, int]:
    """How far the clock that counts sleep is ahead, at least and at most: the thread may wait for a CPU in here."""
    if BOOT_CLOCK is None:
        return 0, 0
    before_ns, boot_ns, after_ns = time.monotonic_ns(), time.clock_gettime_ns(BOOT_CLOCK), time.monotonic_ns()
    return boot_ns - after_ns, boot_ns - before_ns


class MachineSleep:
    """Asked again and again, tells of each sleep once. `ahead_ns` is for tests."""

    def __init__(self, ahead_ns: Callable[[], tuple[int, int]] = _ahead_ns) -> None:
        self._read_ahead_ns = ahead_ns
        self._most_ns = ahead_ns()[1]
        self._looked_ns = 0

    def slept(self, now_ns: int) -> MachineSlept | None:
        looked_ns, self._looked_ns = self._looked_ns, now_ns
        before_ns = self._most_ns
        least_ns, self._most_ns = self._read_ahead_ns()
        return MachineSlept(looked_ns, now_ns) if least_ns - before_ns >= LEAST_NS else None

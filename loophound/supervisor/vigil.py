"""Whether a worker hangs: from when its loop last turned, and what the kernel says of it. Pure.

A silence alone proves nothing. The machine may have had no CPU to give, a debugger may
hold the process, and the supervisor itself may have been kept from looking.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

# Of the time-out: a loop that is late by so much is busy, and nothing is done about it.
BUSY_SHARE = 0.1


class Condition(Enum):
    FINE = auto()
    BUSY = auto()  # late, but it turns
    SUSPENDED = auto()  # a debugger has it
    STARVED = auto()  # it would run, and gets no CPU
    STOPPED = auto()  # by a signal, such as SIGSTOP
    HUNG = auto()


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a worker. `turned_s` is of the same clock as `at_s`."""

    at_s: float
    turned_s: float
    state: str = "S"  # proc(5), stat
    traced: bool = False
    starved_s: float = 0.0  # in all its life: ready to run, without a CPU


class Vigil:
    """Over one worker's process. A silence counts from the last turn, or from what excused it."""

    def __init__(self, timeout_s: float, at_s: float) -> None:
        self._timeout_s = timeout_s
        self._since_s = at_s
        self._turned_s = 0.0
        self._starved_s = 0.0
        self.silent_s = 0.0

    def judge(self, look: Look) -> Condition:
        if look.turned_s > self._turned_s:
            self._turned_s = look.turned_s
            self._excuse(max(look.turned_s, self._since_s), look)
        self.silent_s = look.at_s - self._since_s
        if look.traced or look.state == "t":
            self._excuse(look.at_s, look)
            return Condition.SUSPENDED
        if self.silent_s < self._timeout_s * BUSY_SHARE:
            return Condition.FINE
        if self.silent_s < self._timeout_s:
            return Condition.BUSY
        if look.state == "T":
            return Condition.STOPPED
        # What it waited for a CPU is not held against it, as much as it may compute in between.
        starved_s = look.starved_s - self._starved_s
        return Condition.HUNG if self.silent_s - starved_s >= self._timeout_s else Condition.STARVED

    def forgive(self, at_s: float) -> None:
        """Nobody could look until now, or whoever examined it found a reason."""
        self._since_s = max(self._since_s, at_s)

    def _excuse(self, at_s: float, look: Look) -> None:
        self._since_s = at_s
        self._starved_s = look.starved_s

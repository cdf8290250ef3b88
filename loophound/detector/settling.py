"""Whether all is told that has happened so far."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from loophound.detector.adapters.heartbeat import WatchedLoop


class Settling:
    """Remembers which loops were late, and for which it was waited in vain."""

    def __init__(self) -> None:
        self._late_ns = 0  # when the last run ended in which a loop was late
        self._given_up: dict[WatchedLoop, int] = {}  # loops that were waited for in vain: their last answers
        self._told_ns = 0  # what was late until then has been told, or given up

    def ended(self, loop: WatchedLoop) -> None:
        """A run of a loop is over."""
        if loop.late_ns:
            self._late_ns = time.monotonic_ns()

    @property
    def told_all(self) -> bool:
        """Whether no run that is over has anything left to tell."""
        return self._late_ns <= self._told_ns

    def settled(self, loops: Sequence[WatchedLoop], reported_ns: int, shown: Callable[[], bool]) -> bool:
        """Whether none of them is late, and what they were late for was reported and shown."""
        loops = list(loops)
        if any(loop.is_late() and self._given_up.get(loop) != loop.answered_ns for loop in loops):
            return False
        late_ns = max([self._late_ns, *(loop.late_ns for loop in loops)])
        if late_ns > self._told_ns and not (late_ns < reported_ns and shown()):
            return False
        self._told_ns = max(late_ns, self._told_ns)
        return True

    def give_up(self, loops: Sequence[WatchedLoop]) -> None:
        """Those that are late now do not count until they answer."""
        self._given_up = {loop: loop.answered_ns for loop in list(loops) if loop.is_late()}
        self._told_ns = time.monotonic_ns()

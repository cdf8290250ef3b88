"""What is waited for before somebody reads the stalls."""

from __future__ import annotations

import time
from typing import cast

from loophound.detector.adapters.heartbeat import WatchedLoop
from loophound.detector.settling import Settling


class Loop:
    """As much of a watched loop as is asked for."""

    def __init__(self, *, late: bool = False, late_ns: int = 0) -> None:
        self.late, self.late_ns, self.answered_ns = late, late_ns, 0

    def is_late(self) -> bool:
        return self.late


def settled(settling: Settling, *loops: Loop, reported_ns: int = 0, shown: bool = True) -> bool:
    return settling.settled([cast(WatchedLoop, loop) for loop in loops], reported_ns, lambda: shown)


def test_nothing_is_waited_for_where_nothing_was_late() -> None:
    assert settled(Settling(), reported_ns=0, shown=False)
    assert settled(Settling(), Loop(), reported_ns=0, shown=False)


def test_a_loop_that_is_late_is_waited_for() -> None:
    settling, loop = Settling(), Loop(late=True)
    assert not settled(settling, loop, reported_ns=1 << 62)
    loop.late, loop.late_ns = False, 10
    assert not settled(settling, loop, reported_ns=10)  # the tick began before its answer was at hand
    assert not settled(settling, loop, reported_ns=11, shown=False)
    assert settled(settling, loop, reported_ns=11)


def test_a_run_that_ended_late_is_waited_for_once() -> None:
    """The next asks nothing of anybody, whatever has been reported since."""
    settling = Settling()
    settling.ended(cast(WatchedLoop, Loop()))  # in time
    assert settled(settling, shown=False)
    settling.ended(cast(WatchedLoop, Loop(late_ns=10)))
    assert not settled(settling, reported_ns=10)
    assert not settled(settling, reported_ns=time.monotonic_ns(), shown=False)
    assert settled(settling, reported_ns=time.monotonic_ns() + 1)
    assert settled(settling, reported_ns=0, shown=False)
    settling.ended(cast(WatchedLoop, Loop(late_ns=20)))
    assert not settled(settling, reported_ns=20)


def test_what_was_given_up_does_not_count_until_it_answers() -> None:
    settling, loop = Settling(), Loop(late=True)
    settling.give_up([cast(WatchedLoop, loop)])
    assert settled(settling, loop)
    loop.answered_ns = 5
    assert not settled(settling, loop)

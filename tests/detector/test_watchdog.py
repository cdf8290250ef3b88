"""The watchdog's ticks, called by hand on the loop's own thread."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from typing import Any

import pytest

from loophound.detector.adapters.heartbeat import WatchedLoop
from loophound.detector.adapters.watchdog import Incident, Watchdog
from loophound.detector.facts import Collected, LoopStopped, Sampled, Source
from loophound.detector.machine import GRACE_NS
from loophound.observer.page import ON_ASYNCIO, Page
from tests.detector.conftest import Runner
from tests.detector.facts import HANDLER, sampled

MS = 1_000_000


pytestmark = pytest.mark.allow_blocking(reason="these loops are looked at by hand, and meant to be blocked")


def test_a_collection_belongs_to_the_silence_it_made_and_not_to_the_one_before(run: Runner) -> None:
    """The loop had answered just before it, and the answer lay unread: the watchdog had no GIL."""
    told: list[Incident] = []

    async def main() -> tuple[int, int]:
        watchdog = Watchdog(interval_ns=10 * MS, link=None, report=told.append)
        loop = WatchedLoop(asyncio.get_running_loop(), base=0, threshold_ns=40 * MS, slot=None)
        watchdog.watch(loop)
        while not loop.due_ns:
            time.sleep(0.002)
            watchdog.tick()
        while not loop.answers:
            await asyncio.sleep(0)
        began_ns = time.monotonic_ns()
        time.sleep(0.2)
        collection = Collected(began_ns, time.monotonic_ns(), 2, 5)
        watchdog._collections._noted.append((threading.get_ident(), collection))
        while not told:
            watchdog.tick()
            await asyncio.sleep(GRACE_NS / 4e9)
        return began_ns, collection.ended_ns

    began_ns, ended_ns = run(main())
    assert [(c.began_ns, c.ended_ns) for c in told[0].episode.collections] == [(began_ns, ended_ns)]
    assert told[0].episode.beat_ns <= began_ns


def test_a_run_that_was_over_soon_is_not_watched_and_a_long_one_is(run: Runner) -> None:
    """Whoever starts a loop for each call pays little for being watched."""
    told: list[Incident] = []
    watchdog = Watchdog(interval_ns=10 * MS, link=None, report=told.append)

    async def main(blocked_s: float = 0.0, threshold_ns: int = 60_000 * MS) -> None:
        loop = WatchedLoop(asyncio.get_running_loop(), base=0, threshold_ns=threshold_ns, slot=None)
        watchdog.watch(loop)
        time.sleep(blocked_s)
        loop.stop()

    for _ in range(3):
        run(main())
    watchdog.tick()
    assert (watchdog._watches, watchdog.stats, told) == ((), [], [])
    run(main(0.2, 40 * MS))
    run(main())
    watchdog.tick()
    assert len(watchdog._watches) == 1
    while watchdog._watches:
        time.sleep(0.005)
        watchdog.tick()
    assert len(told) == 1
    assert told[0].until_ns - told[0].episode.began_ns >= 150 * MS


def test_a_short_run_is_let_go_at_its_end_unless_the_watchdog_looks_at_it(run: Runner) -> None:
    watchdog = Watchdog(interval_ns=10 * MS, link=None, report=lambda told: None)

    async def main(*, looked_at: bool = False, threshold_ns: int = 10_000 * MS) -> WatchedLoop:
        loop = WatchedLoop(asyncio.get_running_loop(), base=0, threshold_ns=threshold_ns, slot=None)
        watchdog.watch(loop)
        loop.looked_at = looked_at
        loop.stop()
        watchdog.over(loop)
        return loop

    loop = run(main())
    assert (list(watchdog._newcomers), loop.answers) == ([], [])
    watchdog.over(loop)  # whoever tells it again changes nothing
    for kept in ({"looked_at": True}, {"threshold_ns": 0}):
        loop = run(main(**kept))
        assert list(watchdog._newcomers) == [loop]
        assert [type(answer) for answer in loop.answers] == [LoopStopped]
        watchdog._newcomers.clear()


def test_a_run_that_ends_as_it_is_admitted_ends_for_the_watchdog(run: Runner) -> None:
    """Either it is seen to be over, or it tells its end to whom has looked at it."""
    watchdog = Watchdog(interval_ns=10 * MS, link=None, report=lambda told: None)
    made: list[WatchedLoop] = []

    class EndsMeanwhile(WatchedLoop):
        @property
        def ended_ns(self) -> int:  # type: ignore[override]
            return self._ended_ns

        @ended_ns.setter
        def ended_ns(self, value: int) -> None:
            self._ended_ns = value
            watchdog._admit()  # between its end and its question whether it was looked at

    async def main() -> None:
        loop = EndsMeanwhile(asyncio.get_running_loop(), base=0, threshold_ns=10_000 * MS, slot=None)
        loop._ended_ns = 0
        made.append(loop)
        watchdog.watch(loop)
        loop.stop()
        watchdog.over(loop)

    run(main())
    assert (watchdog._watches, list(watchdog._newcomers)) == ((), [])


def test_a_run_is_asked_when_it_has_lasted_for_half_an_interval(run: Runner) -> None:
    """Most tests of a suite have ended by then, and need neither a probe nor a question."""
    watchdog = Watchdog(interval_ns=400 * MS, link=None, report=lambda incident: None)

    async def main() -> None:
        loop = WatchedLoop(asyncio.get_running_loop(), base=0, threshold_ns=2000 * MS, slot=None)
        watchdog.watch(loop)
        watchdog.tick()
        assert watchdog._watches == () or time.monotonic_ns() - loop.first_beat.at_ns > 200 * MS
        time.sleep(0.25)
        watchdog.tick()
        [watch] = watchdog._watches
        assert watch.machine.episode.beat_ns == loop.first_beat.at_ns  # its time counts from its beginning

    run(main())


class Link:
    """An observer whose samples have come."""

    def __init__(self, page: Page, taken: list[tuple[int, int, Sampled]]) -> None:
        self.page = page
        self.memory = None
        self._taken = taken

    def take(self) -> list[tuple[int, int, Sampled]]:
        taken, self._taken = self._taken, []
        return taken


def test_the_samples_of_a_run_that_begins_during_a_tick_are_its_own(run: Runner) -> None:
    page = Page.create()
    link: Any = Link(page, [])
    watchdog = Watchdog(interval_ns=10 * MS, link=link, report=lambda told: None)

    async def main() -> None:
        slot = page.occupy(1, 1, ON_ASYNCIO)
        loop = WatchedLoop(asyncio.get_running_loop(), base=0, threshold_ns=40 * MS, slot=slot)
        watchdog.watch(loop)
        link._taken = [(0, loop.generation, sampled(time.monotonic_ns() / MS, HANDLER, source=Source.OBSERVER))]
        watchdog._drain_observer()  # as a tick does that admitted nobody at its beginning
        assert [len(watch.machine.episode.samples) for watch in watchdog._watches] == [1]
        loop.stop()

    run(main())
    os.close(page.descriptor)


def test_what_is_told_of_a_run_that_is_over_does_not_get_into_the_next_ones_slot(run: Runner) -> None:
    page = Page.create()

    async def main() -> None:
        slot = page.occupy(1, 1, ON_ASYNCIO)
        assert slot is not None
        loop = WatchedLoop(asyncio.get_running_loop(), base=0, threshold_ns=40 * MS, slot=slot)
        loop.pace(7)
        loop.tell_lag(8)
        assert (slot.pace_ns, slot.lag_ns) == (7, 8)
        slot.release()
        assert page.occupy(1, 1, ON_ASYNCIO) is slot
        loop.pace(7)
        loop.tell_lag(8)
        assert (slot.pace_ns, slot.lag_ns) == (0, 0)

    run(main())
    os.close(page.descriptor)


def test_it_is_not_woken_for_each_run_but_for_the_first() -> None:
    watchdog = Watchdog(interval_ns=10 * MS, link=None, report=lambda told: None)
    watchdog.start()
    try:
        while not watchdog._dozes:
            time.sleep(0.005)

        async def main() -> None:
            loop = WatchedLoop(asyncio.get_running_loop(), base=0, threshold_ns=40 * MS, slot=None)
            watchdog.watch(loop)
            while watchdog._dozes or watchdog._newcomers:
                await asyncio.sleep(0.005)
            loop.stop()

        asyncio.run(main())
        assert not watchdog._dozes  # it lingers: the next may come soon
    finally:
        watchdog.stop()
    assert not watchdog.is_alive()

"""The watchdog's ticks, called by hand on the loop's own thread."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from loophound.detector.adapters.heartbeat import WatchedLoop
from loophound.detector.adapters.watchdog import Incident, Watchdog
from loophound.detector.facts import Collected
from loophound.detector.machine import GRACE_NS
from tests.detector.conftest import Runner

MS = 1_000_000


pytestmark = pytest.mark.allow_blocking(reason="these loops are looked at by hand, and meant to be blocked")


def test_a_collection_belongs_to_the_silence_it_made_and_not_to_the_one_before(run: Runner) -> None:
    """The loop had answered just before it, and the answer lay unread: the watchdog had no GIL."""
    told: list[Incident] = []

    async def main() -> tuple[int, int]:
        watchdog = Watchdog(threshold_ns=40 * MS, interval_ns=10 * MS, link=None, report=told.append)
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
    watchdog = Watchdog(threshold_ns=40 * MS, interval_ns=10 * MS, link=None, report=told.append)

    async def main(blocked_s: float) -> None:
        loop = WatchedLoop(asyncio.get_running_loop(), base=0, threshold_ns=40 * MS, slot=None)
        watchdog.watch(loop)
        time.sleep(blocked_s)
        loop.stop()

    for _ in range(3):
        run(main(0.0))
    watchdog.tick()
    assert (watchdog._watches, watchdog.stats, told) == ((), [], [])
    run(main(0.2))
    run(main(0.0))
    watchdog.tick()
    assert len(watchdog._watches) == 1
    while watchdog._watches:
        time.sleep(0.005)
        watchdog.tick()
    assert len(told) == 1
    assert told[0].until_ns - told[0].episode.began_ns >= 150 * MS


def test_it_is_not_woken_for_each_run_but_for_the_first() -> None:
    watchdog = Watchdog(threshold_ns=40 * MS, interval_ns=10 * MS, link=None, report=lambda told: None)
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

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


@pytest.mark.allow_blocking(reason="it plays a collection")
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

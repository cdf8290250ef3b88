"""Lag and utilisation, in bounded memory."""

from __future__ import annotations

import asyncio
import time

import pytest

from loophound.detector.detector import Detector
from loophound.detector.records import SNAPSHOT_SCHEMA
from loophound.detector.stats import BUCKETS, Histogram, LoopStats
from loophound.server.hooks import Ended
from tests.detector.facts import MS, Doing, World


@pytest.mark.parametrize("largest_ns", [0, 1, 9_999, 10_000, 10_001, MS, 10**9, 10**12, 10**15])
def test_a_single_duration_is_every_percentile(largest_ns: int) -> None:
    histogram = Histogram()
    histogram.add(largest_ns)
    assert histogram.largest_ns == largest_ns
    for percent in (1, 50, 100):
        assert histogram.percentile_ns(percent) <= largest_ns or largest_ns < 10_000
        assert histogram.percentile_ns(percent) >= largest_ns * 0.79 or largest_ns > 10**12


def test_percentiles_are_right_to_a_bucket() -> None:
    histogram = Histogram()
    for microseconds in range(1, 10_001):
        histogram.add(microseconds * 1000)
    for percent in (10, 50, 90, 99):
        assert histogram.percentile_ns(percent) == pytest.approx(percent * 100_000, rel=0.26)
    assert histogram.count == 10_000


def test_nothing_is_zero() -> None:
    assert Histogram().percentile_ns(99) == 0
    assert LoopStats().utilisation == 0.0


def test_the_memory_is_bounded() -> None:
    histogram = Histogram()
    for exponent in range(20):
        histogram.add(10**exponent)
    assert len(histogram._counts) == BUCKETS


def test_a_loop_that_rests_is_not_busy() -> None:
    stats = World().rests(5000).play().machine.stats
    assert stats.utilisation < 0.01
    assert stats.lag.percentile_ns(99) < MS


def test_computing_and_waiting_are_both_busy() -> None:
    world = World().rests(1000).does(500, cpu=1.0).does(500).play(2000)
    assert world.machine.stats.utilisation == pytest.approx(0.5, abs=0.05)
    assert world.machine.stats.lag.largest_ns == pytest.approx(1000 * MS, abs=40 * MS)


def test_callbacks_below_the_threshold_show_as_lag() -> None:
    world = World().rests(100)
    for _ in range(100):
        world.does(30, Doing(cpu=1.0)).rests(2)
    world.play()
    assert world.stalls == []
    assert world.machine.stats.lag.percentile_ns(50) > 5 * MS
    assert world.machine.stats.utilisation > 0.7


def test_snapshots_of_a_real_loop() -> None:
    async def main() -> None:
        for _ in range(20):
            time.sleep(0.03)
            await asyncio.sleep(0)

    detector = Detector(0.1, observer=False)
    with detector:
        asyncio.run(main())
    [snapshot] = detector.snapshots()
    assert snapshot.to_dict()["schema"] == SNAPSHOT_SCHEMA
    assert snapshot.watched_s >= 0.5
    assert 0.5 < snapshot.utilisation <= 1.0
    assert snapshot.lag_max_s > 0.01
    assert snapshot.lag_p50_s <= snapshot.lag_p99_s <= snapshot.lag_max_s


def test_a_loop_after_another_goes_on_with_the_figures() -> None:
    detector = Detector(0.5, observer=False)
    with detector:
        asyncio.run(asyncio.sleep(0.4))  # some looks, which come every tenth of a second
        first = detector.snapshots()
        time.sleep(0.9)
        asyncio.run(asyncio.sleep(0.4))
    [snapshot] = detector.snapshots()
    assert snapshot.beats > first[0].beats
    assert snapshot.watched_s < 0.9


class Nobody:
    """A server without requests."""

    addresses = ("http://127.0.0.1:8000",)
    leaving = False

    def exchanges(self) -> tuple[()]:
        return ()

    def take_ended(self, most: int) -> Ended:
        return Ended(0, 0, ())


@pytest.mark.allow_blocking(reason="a server's start is what it is about")
def test_what_a_server_does_before_it_accepts_does_not_count() -> None:
    detector = Detector(0.1, observer=False)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        detector.hooks.loop_starting(loop)
        await asyncio.sleep(0.05)
        time.sleep(0.6)
        await asyncio.sleep(0.05)
        detector.hooks.loop_started(loop, Nobody())
        await asyncio.sleep(0.2)

    with detector:
        asyncio.run(main())
    [snapshot] = detector.snapshots()
    assert snapshot.lag_max_s < 0.5
    assert snapshot.beats > 0

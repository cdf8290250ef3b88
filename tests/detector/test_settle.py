"""Waiting until what is over has been shown: at once without a stall, and never for ever."""

from __future__ import annotations

import asyncio
import threading
import time

from loophound.detector.detector import Detector
from loophound.detector.records import Stall
from tests.detector.conftest import Runner


async def pause(seconds: float = 0.0) -> None:
    await asyncio.sleep(seconds)


async def block(seconds: float) -> None:
    await asyncio.sleep(0.03)
    time.sleep(seconds)


def watching(stalls: list[Stall]) -> Detector:
    return Detector(0.05, observer=False, on_stall=stalls.append)


def test_without_a_stall_there_is_nothing_to_wait_for(run: Runner) -> None:
    with watching([]) as detector:
        for _ in range(20):
            run(pause())
            assert detector.settled()
    assert detector.settled()


def test_a_stall_has_been_shown_when_it_returns(run: Runner) -> None:
    stalls: list[Stall] = []
    with watching(stalls) as detector:
        for number in range(3):
            run(block(0.12))
            assert detector.settle(10)
            assert len(stalls) > number
            assert detector.settled()


def test_a_stall_of_a_loop_that_goes_on(run: Runner) -> None:
    stalls: list[Stall] = []

    async def main(detector: Detector) -> None:
        await block(0.12)
        await pause(0.03)
        assert await asyncio.to_thread(detector.settle, 10)
        assert stalls

    with watching(stalls) as detector:
        run(main(detector))


def test_it_waits_for_a_loop_of_another_thread() -> None:
    stalls: list[Stall] = []
    blocking = threading.Event()

    async def main() -> None:
        await asyncio.sleep(0.03)
        blocking.set()
        time.sleep(0.3)

    with watching(stalls) as detector:
        thread = threading.Thread(target=asyncio.run, args=(main(),))
        thread.start()
        blocking.wait()
        time.sleep(0.15)
        assert not detector.settled()
        assert detector.settle(10)
        assert stalls
        thread.join()


def test_a_loop_that_stays_blocked_is_given_up_once() -> None:
    release, blocked = threading.Event(), threading.Event()

    async def main() -> None:
        await asyncio.sleep(0.03)
        blocked.set()
        release.wait()

    stalls: list[Stall] = []
    with watching(stalls) as detector:
        thread = threading.Thread(target=asyncio.run, args=(main(),))
        thread.start()
        blocked.wait()
        time.sleep(0.1)
        assert not detector.settle(0.01)
        assert detector.settled()
        asyncio.run(block(0.12))  # and it keeps no other loop's stall from coming out
        assert detector.settle(10)
        assert [stall.thread for stall in stalls if not stall.ongoing] == ["MainThread"]
        release.set()
        thread.join()
        assert detector.settle(10)
        assert len({stall.thread for stall in stalls}) == 2


def test_a_detector_that_is_stopped_has_nothing_to_show() -> None:
    made = watching([])
    assert made.settle(0)

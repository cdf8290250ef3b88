"""Code that blocks for longer than the stall limit, interrupted for real."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import loophound
from loophound.detector.adapters.signals import SIGNAL
from loophound.detector.detector import Detector
from loophound.detector.records import Cause, Stall
from loophound.errors import ConfigError, StallLimitExceeded, exceeds_stall_limit
from tests.detector.conftest import Runner

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="signals and /proc"),
    pytest.mark.allow_blocking(reason="what blocks here is planted, to be interrupted"),
]

LIMIT_S = 0.3
LONG_S = 20.0  # nothing blocks for so long here, or the test takes its time and fails


def spin() -> None:
    until = time.monotonic() + LONG_S
    while time.monotonic() < until:
        pass


def wait_for_a_lock() -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire(timeout=LONG_S)


def backtrack() -> None:
    """It would take minutes; `re` looks for signals, but never lets go of the GIL."""
    re.match("(a+)+$", "a" * 34 + "b")


def interrupted(run: Runner, block: Callable[[], Any]) -> tuple[list[BaseException], list[Stall]]:
    """What was raised in a task that blocks while others go on, and what was told."""
    told: list[Stall] = []
    raised: list[BaseException] = []

    async def guilty() -> None:
        await asyncio.sleep(0.03)
        try:
            block()
        except BaseException as error:
            raised.append(error)
            raise

    async def innocent() -> int:
        count = 0
        for _ in range(30):
            await asyncio.sleep(0.005)
            count += sum(n % 3 for n in range(2000)) > 0
        return count

    async def main() -> list[Any]:
        return await asyncio.gather(innocent(), guilty(), innocent(), return_exceptions=True)

    with Detector(0.1, on_stall=told.append, stall_limit=LIMIT_S) as detector:
        assert detector.wait_for_observer(), detector.observer_problem
        first, error, last = run(main())
    assert (first, last) == (30, 30)
    assert isinstance(error, StallLimitExceeded)
    return raised, [s for s in told if not s.ongoing]


@pytest.mark.parametrize(
    "block",
    [lambda: time.sleep(LONG_S), wait_for_a_lock, spin, backtrack],
    ids=["sleep", "lock", "spin", "backtrack"],
)
def test_in_the_main_thread_by_a_signal(run: Runner, block: Callable[[], Any]) -> None:
    before = signal.getsignal(SIGNAL)
    raised, stalls = interrupted(run, block)
    assert [type(error) for error in raised] == [StallLimitExceeded]
    assert "0.3 s" in str(raised[0])
    assert max(stalls, key=lambda s: s.duration_s).evidence.interrupted == "signal"
    assert signal.getsignal(SIGNAL) == before


def in_a_thread(work: Callable[[], Any]) -> Any:
    result: list[Any] = []
    thread = threading.Thread(target=lambda: result.append(work()))
    thread.start()
    thread.join()
    return result[0]


def test_python_code_in_another_thread_by_an_exception(run: Runner) -> None:
    _, stalls = in_a_thread(lambda: interrupted(run, spin))
    assert max(stalls, key=lambda s: s.duration_s).evidence.interrupted == "exception"


def test_a_wait_in_another_thread_cannot_be_interrupted_and_the_record_says_so(run: Runner) -> None:
    told: list[Stall] = []

    async def main() -> str:
        await asyncio.sleep(0.03)
        time.sleep(LIMIT_S * 3)
        await asyncio.sleep(0.05)
        return "went on"

    with Detector(0.1, on_stall=told.append, stall_limit=LIMIT_S) as detector:
        assert detector.wait_for_observer(), detector.observer_problem
        assert in_a_thread(lambda: run(main())) == "went on"
    [stall] = [s for s in told if s.cause is Cause.SLEEP and not s.ongoing]
    assert stall.evidence.interrupted == "failed"


def test_a_block_that_is_meant_is_left_alone(run: Runner) -> None:
    async def main() -> str:
        await asyncio.sleep(0.03)
        with loophound.allow_blocking("a test"):
            time.sleep(LIMIT_S * 3)
        return "went on"

    with Detector(0.1, stall_limit=LIMIT_S, observer=False):
        assert run(main()) == "went on"


def test_many_that_take_turns_are_left_alone(run: Runner) -> None:
    """None of them blocks for so long, though the loop does not turn."""

    async def work() -> str:
        await asyncio.sleep(0)
        time.sleep(0.03)
        return "done"

    async def main() -> list[str]:
        return await asyncio.gather(*(work() for _ in range(30)))

    with Detector(0.1, stall_limit=LIMIT_S, observer=False):
        assert set(run(main())) == {"done"}


def test_a_programs_own_handler_of_the_signal_is_called(run: Runner) -> None:
    heard: list[int] = []

    async def main() -> None:
        await asyncio.sleep(0.03)
        signal.raise_signal(SIGNAL)
        await asyncio.sleep(0.03)

    before = signal.signal(SIGNAL, lambda number, frame: heard.append(number))
    try:
        with Detector(0.1, stall_limit=LIMIT_S, observer=False):
            run(main())
        assert heard == [SIGNAL]
        signal.raise_signal(SIGNAL)
        assert heard == [SIGNAL] * 2
    finally:
        signal.signal(SIGNAL, before)


def test_a_limit_near_the_threshold_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least twice the threshold"):
        Detector(0.1, stall_limit=0.15)


def test_one_in_a_group_counts() -> None:
    assert exceeds_stall_limit(BaseExceptionGroup("", [ValueError(), StallLimitExceeded(1)]))
    assert not exceeds_stall_limit(BaseExceptionGroup("", [ValueError()]))
    assert not issubclass(StallLimitExceeded, Exception)

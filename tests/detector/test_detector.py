"""The detector's life: start, stop, fork, and the observer's first word."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import threading
import time
from asyncio.base_events import BaseEventLoop
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from loophound.detector.adapters.watchdog import Watch, Watchdog
from loophound.detector.detector import BEATS_IN_A_THRESHOLD, Detector
from loophound.detector.records import Cause, Stall
from loophound.errors import ConfigError
from loophound.observer.messages import greeting

PATIENCE_S = 10.0


def detector(**options: Any) -> Detector:
    return Detector(**{"observer": False, **options})


def eventually(test: Callable[[], object]) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while not test() and time.monotonic() < deadline:
        time.sleep(0.002)
    return bool(test())


@pytest.mark.parametrize("threshold", [0, -1, float("nan"), float("inf")])
def test_a_threshold_that_cannot_be(threshold: float) -> None:
    with pytest.raises(ConfigError, match="threshold"):
        Detector(threshold)


@pytest.mark.parametrize("threshold_ms", [10, 50, 100, 1000, 60_000])
def test_a_beat_is_due_often_in_every_threshold(threshold_ms: int) -> None:
    made = detector(threshold=threshold_ms / 1000)
    assert 2_000_000 <= made.interval_ns <= 100_000_000
    assert made.threshold_ns >= 5 * made.interval_ns
    assert made.interval_ns >= made.threshold_ns / BEATS_IN_A_THRESHOLD or made.interval_ns == 100_000_000


def patched() -> tuple[object, object]:
    """What stands where a detector patches: a guard of these very tests may have done so before."""
    return BaseEventLoop.run_forever, vars(uvloop.Loop).get("run_forever")


def test_a_record_file_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    before = patched()
    made = detector(record=tmp_path / "missing" / "stalls.jsonl")
    with pytest.raises(ConfigError, match="no directory"):
        made.start()
    made.stop()
    assert patched() == before


def descriptors_in_use() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_starting_and_stopping_twice_leaves_nothing_behind() -> None:
    threads, callbacks, before = threading.active_count(), list(gc.callbacks), patched()
    descriptors = descriptors_in_use()
    made = detector()
    for _ in range(2):
        made.start()
        made.start()
        asyncio.run(asyncio.sleep(0.03))
        made.stop()
        made.stop()
    assert eventually(lambda: threading.active_count() == threads)
    assert gc.callbacks == callbacks
    assert eventually(lambda: descriptors_in_use() <= descriptors)  # this suite's guard has some, now and then
    assert patched() == before


def test_the_descriptors_of_the_observer_are_given_back() -> None:
    gc.collect()
    descriptors = descriptors_in_use()
    for _ in range(3):
        with Detector(observer=True):
            pass
    gc.collect()
    assert eventually(lambda: descriptors_in_use() <= descriptors)


def test_a_watchdog_that_fails_says_so_once_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failures: list[Watch] = []
    account = Watchdog._account

    def fail(self: Watchdog, watch: Watch) -> None:
        if self is made._watchdog and len(failures) < 3:  # not of a guard of this suite
            failures.append(watch)
            raise RuntimeError("it broke")
        account(self, watch)

    monkeypatch.setattr(Watchdog, "_account", fail)

    async def main() -> None:
        while len(failures) < 3:
            await asyncio.sleep(0.01)
        time.sleep(0.3)
        await asyncio.sleep(0.3)

    stalls: list[Stall] = []
    with detector(on_stall=stalls.append) as made:
        asyncio.run(main())
    assert [stall.cause for stall in stalls] == [Cause.SLEEP]
    assert [record.message for record in caplog.records if "watchdog" in record.message] == [
        "Loophound's watchdog failed; it goes on, and may miss stalls"
    ]


def test_loops_are_watched_while_they_run() -> None:
    with detector() as made:
        assert made._loops == []

        async def main() -> list[str]:
            return [watched.loop_name for watched in made._loops]

        assert asyncio.run(main()) == ["asyncio._UnixSelectorEventLoop"]
        assert uvloop.run(main()) == ["uvloop.Loop"]
        assert made._loops == []


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_started_within_a_run_it_knows_the_base_at_once(run: Callable[..., Any]) -> None:
    async def main() -> None:
        with detector() as made:
            [watched] = made._loops
            at_once = watched.base
            await asyncio.sleep(0.1)
            assert eventually(lambda: watched.machinery is not None)
            assert at_once == watched.base > 0

    run(main())


def test_a_run_that_began_before_the_detector_is_not_silent_when_it_ends() -> None:
    stalls: list[Stall] = []
    loop = asyncio.new_event_loop()
    made = detector(threshold=0.05, on_stall=stalls.append)

    async def main() -> None:
        made.start()
        await asyncio.sleep(0.1)

    loop.run_until_complete(main())
    until = time.thread_time() + 0.2  # no business of the loop's, which is not closed either
    while time.thread_time() < until:
        pass
    made.stop()
    loop.close()
    assert {stall.cause for stall in stalls} <= {Cause.STARVED, Cause.SUSPENDED}


@pytest.mark.parametrize("close", [True, False], ids=["closed", "kept"])
def test_the_end_of_a_run_that_began_before_the_detector_is_noticed(close: bool) -> None:
    """Nobody tells of it. Until then its slot is taken, and what its thread does is held against it."""
    loop = asyncio.new_event_loop()
    made = Detector(0.05)

    async def main() -> None:
        made.start()
        await asyncio.sleep(0.05)

    try:
        loop.run_until_complete(main())
        if close:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()
        assert eventually(lambda: not made._loops)
        assert made._link is None or made._link.page.live() == []
    finally:
        made.stop()
        loop.close()


def test_a_running_loop_is_let_go_when_the_detector_stops() -> None:
    async def main() -> None:
        made = detector(threshold=0.05)
        made.start()
        await asyncio.sleep(0.05)
        [watched] = made._loops
        await asyncio.to_thread(made.stop)
        assert not made._watchdog.is_alive()
        answers = len(watched.answers)
        await asyncio.sleep(0.05)
        assert len(watched.answers) <= answers + 1

    asyncio.run(main())


def test_a_run_that_the_detector_did_not_see_begin_is_let_go_when_it_stops_at_once() -> None:
    made = detector(threshold=0.1)

    async def main() -> None:
        made.start()
        made.stop()

    asyncio.run(main())
    assert made._loops == []


def test_the_observers_first_word_may_be_read_by_the_watchdog() -> None:
    with Detector(observer=True) as made:
        link = made._link
        assert link is not None
        assert eventually(lambda: list(link.take()) == [] and link.ready)
        assert made.wait_for_observer()
        assert made.wait_for_observer()


def test_waiting_for_the_observer_takes_nothing_from_the_watchdog() -> None:
    with Detector(observer=True) as made:
        link = made._link
        assert link is not None
        assert made.wait_for_observer()
        assert link._socket.recv(1 << 16) == greeting()
        assert link._socket.gettimeout() == 0.0


def test_waiting_for_an_observer_that_is_not_there() -> None:
    with detector() as made:
        assert not made.wait_for_observer()
        assert made.observer_problem == "it was not asked for"


# Forks


def in_child(test: Callable[[], object]) -> None:
    """Run `test` in a forked child; its failure is ours."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            problem = "" if test() else "it is false"
        except BaseException as error:
            problem = repr(error)
        os.write(writer, problem.encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    told = os.read(reader, 10_000).decode()
    os.close(reader)
    assert told == ""


pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def test_a_forked_child_has_no_trace_of_the_detector(tmp_path: Path) -> None:
    callbacks, descriptors = list(gc.callbacks), len(os.listdir("/proc/self/fd"))
    before = patched()
    made = Detector(observer=True, record=tmp_path / "stalls.jsonl")

    async def main() -> None:
        await asyncio.sleep(0.05)
        in_child(clean)

    def clean() -> bool:
        assert patched() == before
        assert set(gc.callbacks) <= set(callbacks)
        assert len(os.listdir("/proc/self/fd")) - descriptors <= OTHER_DESCRIPTORS
        assert threading.active_count() == 1
        assert all(watched.slot is None for watched in made._loops)
        made.stop()
        return True

    with made:
        asyncio.run(main())
    # On a crowded machine the parent may be kept waiting for its child, which it tells of.
    records = [json.loads(line) for line in (tmp_path / "stalls.jsonl").read_text().splitlines()]
    assert {record["pid"] for record in records} <= {os.getpid()}


# The loop's epoll and self-pipe, the pipe to the parent, and the one that mmap keeps of the page.
OTHER_DESCRIPTORS = 3 + 2 + 1


def test_a_forked_child_can_watch_for_itself(tmp_path: Path) -> None:
    made = detector(record=tmp_path / "stalls.jsonl")

    def again() -> bool:
        made.start()
        asyncio.run(asyncio.sleep(0.01))
        faces = len(made._faces)
        made.stop()
        return faces == 2

    with made:
        in_child(again)


def test_a_forked_child_that_goes_on_with_the_loop_does_not_touch_the_page() -> None:
    made = Detector(observer=True)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0.05)
        [watched] = made._loops
        slot = watched.slot
        assert slot is not None
        made._watchdog.stop()
        before = slot.beat_ns

        def beats() -> bool:
            watched.beat()
            return slot.beat_ns == before

        in_child(beats)
        assert loop.is_running()

    with made:
        asyncio.run(main())

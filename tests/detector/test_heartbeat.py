"""The loop's end of the watch, on loops that run for some milliseconds."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from loophound.detector.adapters.heartbeat import NEVER_NS, OVER, SETTLING_TURNS, WatchedLoop
from loophound.detector.facts import LoopBeat, LoopStopped
from loophound.observer.page import Page
from tests.detector.conftest import Runner
from tests.detector.test_work import Served


def watched(**fields: Any) -> WatchedLoop:
    return WatchedLoop(asyncio.get_running_loop(), **{"base": 0, "threshold_ns": 10**8, "slot": None, **fields})


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.skipif(not hasattr(time, "pthread_getcpuclockid"), reason="Linux")
def test_a_thread_tells_its_clock_and_its_name_while_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked of a thread that has ended, a clock is read from memory that is no longer its."""
    ask, asked_by, made = time.pthread_getcpuclockid, [], []

    def asked(ident: int) -> int:
        asked_by.append((ident, threading.get_ident()))
        return ask(ident)

    async def main() -> None:
        made.append(watched())

    def job() -> None:
        asyncio.run(main())
        threading.current_thread().name = "of another job"

    monkeypatch.setattr(time, "pthread_getcpuclockid", asked)
    thread = threading.Thread(target=job, name="of this job")
    thread.start()
    thread.join()
    [loop] = made
    loop.rests(time.monotonic_ns())
    loop.stop()
    assert loop.thread_name == "of this job"
    assert set(asked_by) == {(loop.ident, loop.ident)}  # by whoever watches these tests, too


def test_a_question_is_answered_at_the_next_turn(run: Runner) -> None:
    async def main() -> None:
        loop = watched()
        loop.ask(time.monotonic_ns())
        await asyncio.sleep(0.005)
        [beat] = loop.answers
        assert isinstance(beat, LoopBeat)
        assert beat.at_ns > loop.first_beat.at_ns
        assert loop.machinery is not None

    run(main())


def test_a_question_to_a_closed_loop_ends_the_watch(run: Runner) -> None:
    made: list[WatchedLoop] = []

    async def main() -> None:
        made.append(watched())

    run(main())
    [loop] = made
    loop.looked_at = True
    loop.ask(time.monotonic_ns())
    loop.ask(time.monotonic_ns())
    assert [type(answer) for answer in loop.answers] == [LoopStopped]


def test_a_loop_that_is_over_is_let_go_unless_a_server_was_on_it(run: Runner) -> None:
    made: list[WatchedLoop] = []

    async def main() -> None:
        made.extend((watched(), watched()))
        made[1].exchanges = lambda: ()

    run(main())
    for loop in made:
        loop.looked_at = True
        loop.stop()
        loop.let_go()
    plain, serving = made
    assert plain.loop is OVER
    plain.ask(time.monotonic_ns())  # the watchdog may be about to
    assert not plain.check()
    assert [type(answer) for answer in plain.answers] == [LoopStopped]
    assert serving.loop is not OVER


def test_the_end_of_the_watch_tells_the_cpu_time_of_the_loops_thread(run: Runner) -> None:
    async def main() -> None:
        loop = watched()
        loop.looked_at = True
        until = time.thread_time() + 0.02
        while time.thread_time() < until:
            pass
        before_ns = time.thread_time_ns()
        other = threading.Thread(target=loop.stop)  # as the watchdog does when the detector stops
        other.start()
        other.join()
        [stopped] = loop.answers
        assert isinstance(stopped, LoopStopped)
        assert stopped.cpu_ns is not None
        assert before_ns <= stopped.cpu_ns <= time.thread_time_ns()

    run(main())


def test_hushed_until_it_is_heeded(run: Runner) -> None:
    async def main() -> None:
        page = Page.create()
        slot = page.occupy(1, 1, 0)
        assert slot is not None
        loop = watched(slot=slot)
        assert slot.beat_ns == loop.first_beat.at_ns  # which a stall is known by, on either side
        loop.hush()
        assert (loop.quiet_until_ns, slot.quiet) == (NEVER_NS, True)
        loop.heed()
        assert 0 < loop.quiet_until_ns <= time.monotonic_ns()
        assert not slot.quiet

    run(main())


def test_who_was_there_when_a_late_loop_had_caught_up(run: Runner) -> None:
    async def main() -> None:
        there, late = Served({}), Served({})
        exchanges = [there]
        loop = watched(threshold_ns=10)
        loop.exchanges = lambda: exchanges
        loop.ask(time.monotonic_ns() - 10**9)
        await asyncio.sleep(0.005)
        exchanges[:] = [late]
        await turns(SETTLING_TURNS + 2)
        [crowd] = loop.crowds
        assert there in crowd.exchanges
        [beat] = loop.answers
        assert crowd.late_beat_ns == beat.at_ns

    run(main())


def test_what_was_asked_in_a_run_is_not_answered_in_the_next() -> None:
    made: list[WatchedLoop] = []
    page = Page.create()
    slot = page.occupy(1, 1, 0)
    assert slot is not None
    errors: list[Any] = []
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: errors.append(context))

    async def first() -> None:
        made.append(watched(threshold_ns=10, slot=slot))
        made[0].exchanges = lambda: ()
        made[0].beat()  # which is late, and begins to settle
        made[0].exchanges = None  # the server has ended
        # In the last turn of this run, so it is to be answered in the next.
        asyncio.get_running_loop().call_soon(made[0].ask, time.monotonic_ns())

    loop.run_until_complete(first())
    made[0].stop()
    made[0].late_ns = 0
    made[0].let_go()
    slot.beat_ns = 7  # another's by now
    loop.run_until_complete(turns(SETTLING_TURNS + 2))
    loop.close()
    assert errors == []
    assert slot.beat_ns == 7
    assert [type(answer) for answer in made[0].answers] == [LoopBeat, LoopStopped]


def broken() -> Iterator[Served]:
    raise ZeroDivisionError


def moving() -> Iterator[Served]:
    raise RuntimeError("Set changed size during iteration")


def test_a_server_that_fails_to_tell_is_not_asked_again(run: Runner) -> None:
    async def main() -> None:
        loop = watched()
        loop.exchanges = broken
        assert loop.present() == ()
        assert loop.exchanges is None
        assert loop.present() == ()

    run(main())


def test_a_server_that_changed_meanwhile_is_asked_again(run: Runner) -> None:
    async def main() -> None:
        loop = watched()
        loop.exchanges = moving
        assert loop.present() == ()
        assert loop.exchanges is moving

    run(main())

"""Runs of trio, seen through its instruments."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from typing import Any

import pytest

from loophound.detector.adapters.loops import LoopWatch
from loophound.detector.adapters.trio_runs import LOOP_FUNCTION, RunInstrument, TrioRun, WatchedTrio

trio = pytest.importorskip("trio")

S = 1_000_000_000


def test_a_run_is_told_on_its_thread_and_nothing_is_left_behind() -> None:
    before = trio._core._run.unrolled_run
    told: list[Any] = []
    watch = LoopWatch(
        lambda run, base: told.append(("begins", run.is_running(), base, threading.current_thread().name)),
        lambda ticket: told.append(("ends", ticket)),
    )
    watch.install()
    try:
        trio.run(trio.sleep, 0)
        told.append("between")
        thread = threading.Thread(target=trio.run, args=(trio.sleep, 0), name="other")
        thread.start()
        thread.join()
    finally:
        watch.remove()
    begun = [entry for entry in told if entry[0] == "begins"]
    assert [(entry[1], entry[3]) for entry in begun] == [(True, "MainThread"), (True, "other")]
    assert all(entry[2] > 2 for entry in begun)
    assert [entry if isinstance(entry, str) else entry[0] for entry in told] == [
        "begins", "ends", "between", "begins", "ends",
    ]  # fmt: skip
    assert trio._core._run.unrolled_run is before


def test_a_run_that_waits_is_answered_for_and_a_busy_one_answers_when_it_waits() -> None:
    watched: list[WatchedTrio] = []

    def begins(run: Any, base: int) -> TrioRun:
        watched.append(WatchedTrio(run, base=base, threshold_ns=S, slot=None))
        watched[0].looked_at = True
        return watched[0]._run

    async def main() -> None:
        [run] = watched
        assert run.machinery is not None
        assert run.machinery.co_name == LOOP_FUNCTION
        run.ask(S)
        assert not run.answers  # it is busy, with this
        await trio.sleep(0)
        assert len(run.answers) == 1
        done = trio.Event()

        def ask() -> None:
            run.ask(2 * S)
            trio.from_thread.run_sync(done.set)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, ask)
            await done.wait()
        assert len(run.answers) == 2

    watch = LoopWatch(begins, lambda run: None)
    watch.install()
    try:
        trio.run(main)
    finally:
        watch.remove()
    [run] = watched
    run.ask(3 * S)
    assert run.loop_name == "trio.run"
    assert [type(answer).__name__ for answer in run.answers] == ["LoopBeat", "LoopBeat", "LoopStopped"]


def test_the_place_of_a_guest_is_found_at_each_turn() -> None:
    """Its host calls it from anywhere; a run of its own stands where it began."""
    bases: dict[str, set[int]] = {"own": set(), "guest": set()}
    watched: list[WatchedTrio] = []

    def begins(run: Any, base: int) -> None:
        if isinstance(run, TrioRun):  # the host's loop is told too
            watched.append(WatchedTrio(run, base=base, threshold_ns=S, slot=None))

    async def turns(kind: str) -> None:
        for _ in range(4):
            await trio.sleep(0.001)
            bases[kind].add(watched[-1].base)

    async def host() -> None:
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def call_soon(call: Any) -> None:
            # Far deeper than where the first turns run, which trio's start makes itself.
            loop.call_soon_threadsafe(call_from, 10 * len(bases["guest"]), call)

        def call_from(depth: int, call: Any) -> None:
            if depth:
                call_from(depth - 1, call)
            else:
                call()

        trio.lowlevel.start_guest_run(
            turns, "guest", run_sync_soon_threadsafe=call_soon, done_callback=lambda outcome: done.set()
        )
        await done.wait()

    watch = LoopWatch(begins, lambda run: None)
    watch.install()
    try:
        trio.run(turns, "own")
        asyncio.run(host())
    finally:
        watch.remove()
    assert len(bases["own"]) == 1
    assert len(bases["guest"]) >= 2
    assert min(bases["own"] | bases["guest"]) > 2


ABANDONED = """
import gc, trio
from loophound.detector.detector import Detector

async def turns():
    while True:  # to wait would be a thread's, which is not abandoned
        await trio.lowlevel.checkpoint()

calls = []
with Detector(0.1, observer=False) as detector:
    trio.lowlevel.start_guest_run(turns, run_sync_soon_threadsafe=calls.append, done_callback=print)
    for _ in range(5):
        calls.pop(0)()
    calls.clear()
    gc.collect()
    trio.run(trio.sleep, 0)
    print(detector._loops)
"""


def test_an_abandoned_guest_is_closed_as_if_nobody_watched() -> None:
    """trio learns of it from the collection of its generator, and lets nobody run on that thread before."""
    done = subprocess.run([sys.executable, "-c", ABANDONED], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr
    assert "abandoned" in done.stderr


def test_a_trio_that_keeps_its_instruments_otherwise_runs_unwatched() -> None:
    told: list[Any] = []
    ours = RunInstrument(lambda run, base: told.append(run), lambda ticket: None)
    with pytest.raises(TypeError):
        ours.join([], (n for n in ()))
    ours.before_run()
    assert told == []

"""Runs of loops are noticed, and nothing else about them changes."""

from __future__ import annotations

import asyncio
import sys
import threading
from asyncio.base_events import BaseEventLoop
from collections.abc import Callable, Iterator
from itertools import permutations
from typing import Any

import pytest
import uvloop

from loophound.detector.adapters.heartbeat import depth_of
from loophound.detector.adapters.loops import LoopWatch, kind_of
from loophound.observer.page import ON_ASYNCIO, ON_OTHER, ON_UVLOOP

NewLoop = Callable[[], asyncio.AbstractEventLoop]


@pytest.fixture(params=["asyncio", "uvloop"])
def new_loop(request: pytest.FixtureRequest) -> NewLoop:
    return asyncio.new_event_loop if request.param == "asyncio" else uvloop.new_event_loop


def patches() -> list[Any]:
    return [vars(loop_class).get("run_forever") for loop_class in (BaseEventLoop, uvloop.Loop)]


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    before = patches()
    yield
    assert patches() == before


class Runs:
    """What a watch was told."""

    def __init__(self) -> None:
        self.begun: list[tuple[asyncio.AbstractEventLoop, int]] = []
        self.ended: list[Any] = []
        self.watch = LoopWatch(self.begins, self.ended.append)

    def begins(self, loop: asyncio.AbstractEventLoop, base: int) -> int:
        self.begun.append((loop, base))
        return len(self.begun)


def run(new_loop: NewLoop, main: Callable[[], Any]) -> Any:
    loop = new_loop()
    try:
        return loop.run_until_complete(main())
    finally:
        loop.close()


async def seven() -> int:
    await asyncio.sleep(0)
    return 7


def test_a_loop_that_may_block_is_passed_over() -> None:
    class Beside(asyncio.SelectorEventLoop):
        may_block = True

    runs = Runs()
    runs.watch.install()
    assert run(Beside, seven) == 7
    runs.watch.remove()
    assert runs.begun == []


def test_each_run_is_told_with_its_end(new_loop: NewLoop) -> None:
    runs = Runs()
    runs.watch.install()
    assert run(new_loop, seven) == 7
    assert run(new_loop, seven) == 7
    runs.watch.remove()
    assert len({id(type(loop)) for loop, _ in runs.begun}) == 1
    assert runs.ended == [1, 2]


def test_a_run_that_raises_ends_too(new_loop: NewLoop) -> None:
    async def fails() -> None:
        raise LookupError("mine")

    async def leaves() -> None:
        raise SystemExit(3)

    runs = Runs()
    runs.watch.install()
    for main, error in ((fails, LookupError), (leaves, SystemExit)):
        with pytest.raises(error):
            run(new_loop, main)
    runs.watch.remove()
    assert runs.ended == [1, 2]


def test_run_forever_returns_when_stopped(new_loop: NewLoop) -> None:
    runs = Runs()
    runs.watch.install()
    loop = new_loop()
    loop.call_soon(loop.stop)
    assert loop.run_forever() is None  # type: ignore[func-returns-value]
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        loop.run_forever()
    runs.watch.remove()
    assert len(runs.begun) == len(runs.ended)


def test_a_loop_in_another_thread_is_told_there(new_loop: NewLoop) -> None:
    threads: list[int] = []
    watch = LoopWatch(lambda loop, base: threads.append(threading.get_ident()), lambda _: None)
    watch.install()
    thread = threading.Thread(target=run, args=(new_loop, seven))
    thread.start()
    thread.join()
    watch.remove()
    assert threads == [thread.ident]


def test_the_base_is_the_depth_of_the_loops_own_machinery(new_loop: NewLoop) -> None:
    seen: list[int] = []

    async def main() -> None:
        asyncio.get_running_loop().call_soon(lambda: seen.append(depth_of(sys._getframe()) - 1))
        await asyncio.sleep(0.001)

    runs = Runs()
    runs.watch.install()
    run(new_loop, main)
    runs.watch.remove()
    assert [base for _, base in runs.begun] == seen


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_watches_are_removed_in_any_order(new_loop: NewLoop, order: tuple[int, ...]) -> None:
    original = patches()
    all_runs = [Runs() for _ in order]
    for runs in all_runs:
        runs.watch.install()
    run(new_loop, seven)
    for number in order:
        all_runs[number].watch.remove()
        run(new_loop, seven)
    assert patches() == original
    assert [len(all_runs[number].begun) for number in order] == [1, 2, 3]
    assert all(runs.ended == list(range(1, 1 + len(runs.begun))) for runs in all_runs)


def test_a_watch_is_installed_again(new_loop: NewLoop) -> None:
    runs = Runs()
    for _ in range(2):
        runs.watch.install()
        run(new_loop, seven)
        runs.watch.remove()
        run(new_loop, seven)
    assert len(runs.begun) == 2


def test_the_patch_of_somebody_else_survives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BaseEventLoop, "run_forever", BaseEventLoop.run_forever)  # undone at the end
    calls: list[str] = []
    runs = Runs()
    runs.watch.install()
    ours = BaseEventLoop.run_forever

    def theirs(self: BaseEventLoop) -> None:
        calls.append("theirs")
        ours(self)

    monkeypatch.setattr(BaseEventLoop, "run_forever", theirs)
    run(asyncio.new_event_loop, seven)
    runs.watch.remove()
    run(asyncio.new_event_loop, seven)
    assert (len(calls), len(runs.begun)) == (2, 1)
    # Installed again, now above theirs with our first patch below it, a run is told once.
    runs.watch.install()
    run(asyncio.new_event_loop, seven)
    runs.watch.remove()
    assert (len(calls), len(runs.begun)) == (3, 2)
    assert BaseEventLoop.run_forever is theirs


def test_the_kinds_of_loops() -> None:
    for make, kind in ((asyncio.new_event_loop, ON_ASYNCIO), (uvloop.new_event_loop, ON_UVLOOP)):
        loop = make()
        assert kind_of(loop) == kind
        loop.close()
    assert kind_of(object()) == ON_OTHER  # type: ignore[arg-type]

"""A real process is watched by another one, through the memory alone."""

from __future__ import annotations

import inspect
import itertools
import linecache
import random
import re
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from loophound.observer.calibrate import calibrate, this_thread_state
from loophound.observer.layout import Layout
from tests.observer.watched import Seen, watched_from_outside

SETTLED_S = 0.03  # what a walk needs after the C call has begun, and before it ends


@pytest.fixture(scope="module")
def layout() -> Layout:
    return calibrate()


def regex() -> object:
    text = "a" * 22 + "b"
    return re.match(r"(a+)+$", text)


def power() -> object:
    return 3**1_000_000


# Made here and not in the functions, whose end would then have to free them.
HALVES = [0.5] * 20_000_000
NUMBERS = [random.random() for _ in range(600_000)]


def membership() -> object:
    return 1.5 in HALVES


def sort() -> object:
    NUMBERS.sort()


async def request(guilty: Callable[[], object]) -> None:
    await handler(guilty)


async def handler(guilty: Callable[[], object]) -> None:
    guilty()


def last_line(function: Callable[..., object]) -> int:
    lines, first = inspect.getsourcelines(function)
    return first + len(lines) - 1


@pytest.mark.parametrize("guilty", [regex, power, membership, sort])
def test_a_c_call_that_holds_the_gil_is_named_while_it_lasts(layout: Layout, guilty: Callable[[], object]) -> None:
    coroutine = request(guilty)
    with watched_from_outside(layout, this_thread_state(), threading.get_native_id(), 0.005) as watch:
        with pytest.raises(StopIteration):
            coroutine.send(None)
        ended = time.monotonic()
    during = [up_to(guilty, seen) for seen in watch.seen if seen.at < ended - SETTLED_S]
    in_c_call = [seen for seen in during if seen.frames and seen.frames[-1].line == last_line(guilty)]
    assert len(in_c_call) >= 2
    for seen in in_c_call:
        assert [frame.function for frame in seen.frames[-3:]] == ["request", "handler", guilty.__name__]
        assert [frame.line for frame in seen.frames[-3:-1]] == [last_line(request), last_line(handler)]
        assert seen.owners[-3] == id(coroutine)
        assert seen.owners[-2] not in (0, id(coroutine))
        assert seen.owners[-1] == 0
    # From the first sight of the call to its end, nothing else was named.
    assert during[during.index(in_c_call[0]) :] == in_c_call


def up_to(function: Callable[..., object], seen: Seen) -> Seen:
    """The stack without what the standard library adds under `function`."""
    depth = 1 + max((i for i, frame in enumerate(seen.frames) if frame.function == function.__name__), default=-1)
    return Seen(seen.at, seen.frames[:depth], seen.owners[:depth])


# A thread at full speed. Each line that calls something names it, which is what the test relies on.


def leaf_one() -> int:
    return sum(range(30))


def leaf_two() -> int:
    return sum(range(30))


def key_one(value: int) -> int:
    return value


def key_two(value: int) -> int:
    return -value


def each_one() -> Iterator[int]:
    yield leaf_one()
    yield leaf_two()


def each_two() -> Iterator[int]:
    yield leaf_two()
    yield leaf_one()


async def step_one() -> None:
    leaf_one()
    await step_two()


async def step_two() -> None:
    leaf_two()


def fail(depth: int) -> None:
    if depth:
        fail(depth - 1)
    raise ValueError


def turn() -> None:
    leaf_one()
    leaf_two()
    sorted([3, 1, 2], key=key_one)
    sorted([3, 1, 2], key=key_two)
    for _ in each_one():
        leaf_two()
    for _ in each_two():
        leaf_one()
    try:
        step_one().send(None)
    except StopIteration:
        leaf_one()
    try:
        fail(4)
    except ValueError:
        leaf_two()
    number = random.randrange(10)
    exec(compile(f"def made_{number}(): return leaf_one()\nmade_{number}()", f"made_{number}", "exec"), globals())


def at_full_speed(stop: threading.Event) -> None:
    while not stop.is_set():
        turn()


def test_nothing_is_told_of_a_busy_thread_that_cannot_be(layout: Layout) -> None:
    stop, states = threading.Event(), []

    def run() -> None:
        states.append((this_thread_state(), threading.get_native_id()))
        at_full_speed(stop)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        while not states:
            time.sleep(0.001)
        with watched_from_outside(layout, *states[0], 0.0) as watch:
            time.sleep(2)
    finally:
        stop.set()
        thread.join()
    assert watch.taken
    for seen in watch.seen:
        assert not impossible(seen), impossible(seen)


def impossible(seen: Seen) -> list[tuple[object, object]]:
    """The calls in a stack that the source does not have."""
    frames = [(frame.file, frame.line, frame.function.rpartition(".")[2]) for frame in seen.frames]
    return [(caller, callee) for caller, callee in itertools.pairwise(frames) if not may_call(caller, callee)]


def may_call(caller: tuple[str, int, str], callee: tuple[str, int, str]) -> bool:
    file, line, function = caller
    if file == __file__:
        text = linecache.getline(file, line)
        return callee[2] in text or ("exec(" in text and callee[0].startswith("made_") and callee[1] <= 2)
    if file.startswith("made_"):
        if function == "<module>":
            return line == 2 and callee == (file, 1, file)
        return line == 1 and function == file and callee[2] == "leaf_one"
    return True

"""Stacks of threads of this process, read by another one."""

from __future__ import annotations

import asyncio
import gc
import linecache
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FrameType

import pytest

from loophound.calls.patching import patches
from loophound.detector.adapters import current_frames as current
from loophound.detector.adapters import sampler as sampling
from loophound.detector.adapters.heartbeat import WatchedLoop
from loophound.detector.adapters.kernel import ThreadProbe
from loophound.detector.adapters.sampler import MOST_FRAMES, Sampler, stack_of
from loophound.detector.facts import Sampled, Source
from loophound.detector.frames import STAND_IN, CodeFrame
from loophound.observer.page import ON_ASYNCIO
from loophound.observer.walk import Walk
from loophound.observer.watched import is_idle
from tests.detector.conftest import Runner


@contextmanager
def parked(depth: int) -> Iterator[threading.Thread]:
    """A thread that waits below `depth` calls of `deeper`."""
    let_go, there = threading.Event(), threading.Event()

    def deeper(left: int) -> None:
        if left > 1:
            deeper(left - 1)
        else:
            there.set()
            let_go.wait(10)

    thread = threading.Thread(target=deeper, args=(depth,))
    thread.start()
    assert there.wait(10)
    try:
        yield thread
    finally:
        let_go.set()
        thread.join()


@pytest.mark.parametrize("depth", [1, 7, 500])
def test_a_stack_runs_outermost_first_and_is_whole(depth: int) -> None:
    with parked(depth) as thread:
        assert thread.ident is not None
        names = [code.co_name for code, _ in stack_of(thread.ident)]
    assert names[0] == "_bootstrap"
    assert names.count("deeper") == depth


def test_what_the_kernel_tells_of_another_function_is_not_taken_for_this_one() -> None:
    with parked(3) as thread:
        assert thread.ident is not None
        stack = stack_of(thread.ident)
        assert sampling._is_still_in(thread.ident, stack[-1][0])
        assert not sampling._is_still_in(thread.ident, stack[0][0])
    assert not sampling._is_still_in(thread.ident, stack[-1][0])


@pytest.mark.parametrize(("anywhere", "collects"), [(True, False), (False, True)])
def test_nothing_is_collected_while_the_lock_of_all_threads_is_held(
    monkeypatch: pytest.MonkeyPatch, anywhere: bool, collects: bool
) -> None:
    """A finalizer hands the GIL over, and who takes it may want that lock."""
    during = []
    ask = sys._current_frames

    def asked() -> dict[int, FrameType]:
        during.append(gc.isenabled())
        return ask()

    monkeypatch.setattr(current, "COLLECTS_ANYWHERE", anywhere)
    monkeypatch.setattr(sys, "_current_frames", asked)
    assert current.current_frames()[threading.get_ident()].f_code.co_name == "asked"
    assert during == [collects]
    assert gc.isenabled()


def test_a_thread_that_has_ended_has_no_stack() -> None:
    with parked(1) as thread:
        pass
    assert stack_of(thread.ident or 0) == []


def test_a_thread_that_moves_fast_is_read_at_one_moment() -> None:
    """Only stacks that can exist are seen, though the reader loses the GIL as often as can be."""
    done = threading.Event()

    def outer_a() -> None:
        inner_a()

    def inner_a() -> None:
        sum(range(20))

    def outer_b() -> None:
        inner_b()

    def inner_b() -> None:
        sum(range(20))

    def runs() -> None:
        while not done.is_set():
            outer_a()
            outer_b()

    thread = threading.Thread(target=runs)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        thread.start()
        seen = set()
        for _ in range(3000):
            stack = stack_of(thread.ident or 0)
            assert all(isinstance(code, CodeType) for code, _ in stack)
            seen.add(tuple(code.co_name for code, _ in stack if code.co_name[:5] in ("outer", "inner")))
    finally:
        done.set()
        sys.setswitchinterval(interval)
        thread.join()
    assert seen <= {(), ("outer_a",), ("outer_a", "inner_a"), ("outer_b",), ("outer_b", "inner_b")}


# Loses the GIL in every collection; the frames differ in size, so that a stray write hits something.
WALKS_AMONG_COLLECTIONS = """
import gc, random, threading, time

from loophound.detector.adapters.sampler import stack_of

def slow(phase, info):
    if threading.current_thread() is not threading.main_thread():
        time.sleep(0.0001)

functions = []
for size in range(40):
    names = " = ".join(f"v{n}" for n in range(size % 12 + 1))
    exec(f"def f{size}(n):\\n    {names} = [n]\\n    return functions[random.randrange(40)](n - 1) if n else 0")
    functions.append(globals()[f"f{size}"])

def walk():
    for _ in range(300):
        stack_of(threading.main_thread().ident)

gc.callbacks.append(slow)
gc.set_threshold(5)
walker = threading.Thread(target=walk)
walker.start()
while walker.is_alive():
    for depth in (5, 20, 40):
        functions[depth % 40](depth)
assert gc.isenabled()
"""


def test_a_collection_does_not_let_the_thread_go_on_in_the_middle() -> None:
    """A process of its own: without care this is a segmentation fault on Python 3.11."""
    subprocess.run([sys.executable, "-c", WALKS_AMONG_COLLECTIONS], check=True)


def sample_of(sampler: Sampler, watched: WatchedLoop, *, others: bool = False) -> Sampled:
    probe = ThreadProbe(watched.native_id)
    taken: list[Sampled | None] = []
    thread = threading.Thread(target=lambda: taken.append(sampler.sample(watched, probe, None, others=others)))
    thread.start()
    thread.join()
    probe.close()
    assert taken[0] is not None
    return taken[0]


def test_a_sample_of_a_running_task(run: Runner) -> None:
    async def main() -> None:
        watched = WatchedLoop(asyncio.get_running_loop(), base=0, threshold_ns=10**8, slot=None)
        watched.ask(time.monotonic_ns())
        await asyncio.sleep(0.005)
        sample = sample_of(Sampler(), watched)
        assert sample.source is Source.WATCHDOG
        assert not sample.idle
        task = asyncio.current_task()
        assert task is not None
        assert sample.unit == id(task.get_coro())
        assert sample.frames[sample.base].function.endswith("main")
        assert sample.work is not None
        assert sample.cpu_ns is not None
        frame = next(frame for frame in sample.frames if frame.function == "sample_of")
        source = linecache.getline(__file__, frame.line)
        assert source.encode()[frame.column : frame.end_column] in (b"thread.start()", b"thread.join()")

    run(main())


@pytest.fixture(params=["as it is", "while calls are flagged"])
def stand_ins(request: pytest.FixtureRequest) -> Iterator[None]:
    """One lies around the selector's own wait."""
    if request.param == "as it is":
        yield
        return
    user = object()
    patches.use(user)
    yield
    patches.leave(user)


def test_a_loop_at_rest_is_idle(run: Runner, stand_ins: None) -> None:
    async def main() -> list[bool]:
        watched = WatchedLoop(asyncio.get_running_loop(), base=0, threshold_ns=10**8, slot=None)
        watched.ask(time.monotonic_ns())
        await asyncio.sleep(0.005)
        sampler, idle = Sampler(), []

        def look() -> None:
            probe = ThreadProbe(watched.native_id)
            for _ in range(50):
                sample = sampler.sample(watched, probe, None, others=False)
                assert sample is not None
                idle.append(sample.idle)
                time.sleep(0.001)
            probe.close()

        thread = threading.Thread(target=look)
        thread.start()
        while thread.is_alive():
            await asyncio.sleep(0.05)
        return idle

    assert sum(run(main())) >= 40


RUN_ONCE = CodeFrame("/usr/lib/python3.11/asyncio/base_events.py", 1884, "BaseEventLoop._run_once")
SELECT = CodeFrame("/usr/lib/python3.11/selectors.py", 468, "EpollSelector.select")
CALLBACK = CodeFrame("/usr/lib/python3.11/asyncio/events.py", 80, "Handle._run")
AROUND = CodeFrame(f"/usr/lib{STAND_IN}", 100, "call")


@pytest.mark.parametrize(
    ("frames", "idle"), [((RUN_ONCE, SELECT, AROUND), True), ((RUN_ONCE, CALLBACK, AROUND), False)], ids=str
)
def test_from_outside_too_a_stand_in_around_its_wait_makes_no_loop_busy(
    frames: tuple[CodeFrame, ...], idle: bool
) -> None:
    walk = Walk(frames=frames, owners=(0,) * 3, addresses=(0,) * 3, native_id=1)
    assert is_idle(walk, 2, ON_ASYNCIO) is idle


def test_other_threads_are_sampled_with_their_cpu_time(run: Runner) -> None:
    async def main() -> None:
        watched = WatchedLoop(asyncio.get_running_loop(), base=0, threshold_ns=10**8, slot=None)
        with parked(30) as thread:
            others = {other.native_id: other for other in sample_of(Sampler(), watched, others=True).others}
            assert thread.native_id in others
            assert watched.native_id not in others
            other = others[thread.native_id]
            assert other.name == thread.name
            assert other.frames[-1].function.endswith("wait")
            assert len(other.frames) == 24

    run(main())


def test_a_deep_stack_keeps_its_base_and_its_inner_end(run: Runner) -> None:
    async def main() -> None:
        watched = WatchedLoop(asyncio.get_running_loop(), base=0, threshold_ns=10**8, slot=None)
        watched.ask(time.monotonic_ns())
        await asyncio.sleep(0.005)

        def deeper(left: int) -> Sampled:
            return deeper(left - 1) if left else sample_of(Sampler(), watched)

        sample = deeper(400)
        assert len(sample.frames) == MOST_FRAMES
        assert [frame.function for frame in sample.frames][-3:-1] != []
        assert "sample_of" in [frame.function for frame in sample.frames]
        assert sample.base == watched.base
        assert not sample.idle

    run(main())

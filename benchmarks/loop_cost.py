"""What watching costs a loop that only turns, and a process that only waits; beside it, what others cost.

    python benchmarks/loop_cost.py [--rounds 5] [--loop asyncio] [--write]

100 tasks sleep(0) 200,000 times in all, TURNS times over, of which the median counts. Each way of watching has a
process of its own in each round, beside a plain one, and the CPU time of the process is compared with that one's; the
median and the quartiles of the rounds are shown. Loophound's observer process is added. asyncio's debug mode, which
takes minutes otherwise, does a tenth of the work, once. What is not installed is left out (extra `bench`).
Takes three to four minutes.

A process and its observer share one core. Where a thread beside the loop's wakes a second virtual core, the guest's
clocks charge what the host takes to give it to whoever runs: 16 to 19 % with any watching thread, pyleak's and ours
alike, measured on a virtual machine with nothing else to do. For the same reason an idle process is shown beside
threads that do nothing but sleep, and wake as often.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator

from load import quartiles
from machine import RESULTS, describe, write

TASKS, SLEEPS = 100, 200_000
TURNS = 5
SLOW_WAYS = frozenset({"asyncio's debug mode"})
IDLE_S = 10.0
SLEEPERS_PAUSE_S = 0.05
THRESHOLD_S = 0.1
TARGET = 1.05
TARGET_IDLE = 0.003


@contextlib.contextmanager
def plain() -> Iterator[None]:
    yield


@contextlib.contextmanager
def loophound() -> Iterator[None]:
    from loophound import Detector

    with Detector(THRESHOLD_S) as detector:
        detector.wait_for_observer()
        yield


@contextlib.contextmanager
def sleepers() -> Iterator[None]:
    """Two threads that wake as often as our watchdog and our observer do of an idle loop, and do nothing."""
    ended = threading.Event()

    def sleep() -> None:
        while not ended.is_set():
            time.sleep(SLEEPERS_PAUSE_S)

    threads = [threading.Thread(target=sleep) for _ in range(2)]
    for thread in threads:
        thread.start()
    yield
    ended.set()


@contextlib.contextmanager
def debug_mode() -> Iterator[None]:
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = THRESHOLD_S
    yield
    loop.set_debug(False)


@contextlib.contextmanager
def blockbuster() -> Iterator[None]:
    from blockbuster import blockbuster_ctx

    with blockbuster_ctx():
        yield


@contextlib.asynccontextmanager
async def pyleak() -> AsyncIterator[None]:
    from pyleak import no_event_loop_blocking

    async with no_event_loop_blocking(action="log", threshold=THRESHOLD_S):
        yield


@contextlib.contextmanager
def aiocop() -> Iterator[None]:
    import aiocop

    aiocop.patch_audit_functions()
    aiocop.start_blocking_io_detection()
    aiocop.detect_slow_tasks(threshold_ms=int(THRESHOLD_S * 1000), on_slow_task=lambda event: None)
    aiocop.activate()
    yield
    aiocop.deactivate()


Watching = contextlib.AbstractContextManager[None] | contextlib.AbstractAsyncContextManager[None]
WAYS: dict[str, Callable[[], Watching]] = {
    "plain": plain,
    "Loophound": loophound,
    "asyncio's debug mode": debug_mode,
    "blockbuster": blockbuster,
    "pyleak": pyleak,
    "aiocop": aiocop,
}


IDLE_WAYS = {"plain": plain, "two threads that sleep": sleepers, "Loophound": loophound}


async def turn(times: int = SLEEPS) -> float:
    async def sleeps() -> None:
        for _ in range(times // TASKS):
            await asyncio.sleep(0)

    began_s = time.process_time()
    await asyncio.gather(*(sleeps() for _ in range(TASKS)))
    return time.process_time() - began_s


async def measure(way: str, idle: bool) -> tuple[float, float]:
    """CPU seconds of this process for the work; for being idle, as a share of a core."""
    async with contextlib.AsyncExitStack() as stack:
        watching = (IDLE_WAYS if idle else WAYS)[way]()
        if isinstance(watching, contextlib.AbstractAsyncContextManager):
            await stack.enter_async_context(watching)
        else:
            stack.enter_context(watching)
        if way in SLOW_WAYS:
            return await turn(SLEEPS // 10) * 10, 0.0
        if not idle:
            await turn()  # warm
            ours = way == "Loophound"  # what reads /proc would be found out by others
            observer_began_s = observer_s() if ours else 0.0
            median_s = statistics.median([await turn() for _ in range(TURNS)])
            return median_s, (observer_s() - observer_began_s) / TURNS if ours else 0.0
        await asyncio.sleep(1.0)
        began_s, observer_began_s = time.process_time(), observer_s()
        await asyncio.sleep(IDLE_S)
        return (time.process_time() - began_s) / IDLE_S, (observer_s() - observer_began_s) / IDLE_S


def child(way: str, loop: str, what: str) -> None:
    import uvloop

    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    factory = uvloop.new_event_loop if loop == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        figure, observer = runner.run(measure(way, what == "idle"))
    sys.stdout.write(f"{figure} {observer}\n")


def observer_s() -> float:
    """CPU seconds of the observer, which is no child of this process: its arguments have our number."""
    total = 0.0
    ours = b'"pid": %d,' % os.getpid()
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/cmdline", "rb") as arguments:
            text = arguments.read()
            if b"loophound.observer" in text and ours in text and b"/sh" not in text:
                with open(f"/proc/{name}/stat", "rb") as stat:
                    fields = stat.read().rpartition(b")")[2].split()
                total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def run(way: str, loop: str, what: str) -> tuple[float, float] | None:
    """The process's own figure, and its observer's."""
    command = [sys.executable, __file__, "--child", way, loop, what]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.stderr.write(f"{way}: {done.stderr.strip().splitlines()[-1:]}\n")
        return None
    own, observer = map(float, done.stdout.split())
    return own, observer


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:5])
        return
    options = parse_options()
    figures: dict[str, list[float]] = {way: [] for way in WAYS}
    for number in range(options.rounds):
        for way in WAYS:
            base = run("plain", options.loop, "turn")
            figure = run(way, options.loop, "turn")
            if figure is not None and base:
                figures[way].append(sum(figure) / sum(base))
        sys.stderr.write(f"round {number + 1}/{options.rounds}\n")
    idle = {way: run(way, options.loop, "idle") or (0.0, 0.0) for way in IDLE_WAYS}
    report = (
        f"## Cost of watching a loop, {describe()}\n"
        f"{SLEEPS:,} times sleep(0) in {TASKS} tasks on {options.loop}; CPU time on one core beside a plain one's "
        f"of the same round, median of {options.rounds} rounds, the quartiles in brackets. Targets: Loophound at most "
        f"{TARGET:g}, an idle process below {TARGET_IDLE:.1%} of a core.\n\n| watched by | CPU ratio |\n|---|---|\n"
    )
    for way, ratios in figures.items():
        told = "not installed, or it failed on this loop"
        if ratios:
            low, middle, high = quartiles(ratios)
            told = f"{middle:.3f} ({low:.3f} to {high:.3f})"
        report += f"| {way} | {told} |\n"
    report += "\n| idle | of a core | and its observer |\n|---|---|---|\n"
    for way, (own, observer) in idle.items():
        report += f"| {way} | {own:.2%} | {observer:.2%} |\n"
    sys.stdout.write(report)
    if options.write:
        write(report)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure what watching costs a loop.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio")
    parser.add_argument("--write", action="store_true", help=f"put the table into {RESULTS.name}")
    return parser.parse_args()


if __name__ == "__main__":
    main()

"""What it costs to read a stack from outside, and how much of a busy thread gets through.

    python benchmarks/outside_walk.py [--seconds 2]

A process calibrates itself and is watched by a second one: while its thread sleeps in a C call
at the end of a chain of coroutines, then while it runs Python at full speed. Times are
processor time and wall time of the watching process, per walk, as median and 10th to 90th
percentile; the watched process pays nothing. "without pauses" leaves out the irregular pauses
between the looks, in which the observer sleeps.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from loophound.observer.calibrate import MEMORY_PATH, calibrate, this_thread_state
from loophound.observer.layout import Layout
from loophound.observer.memory import ProcessMemory
from loophound.observer.walk import Walker

COROUTINES = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each of the measurements")
    parser.add_argument("--watch", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.watch:
        watch(*options.watch, seconds=options.seconds)
    else:
        measure(options.seconds)


def measure(seconds: float) -> None:
    times = []
    for _ in range(20):
        began = time.perf_counter()
        layout = calibrate()
        times.append((time.perf_counter() - began) * 1e6)
    report(f"CPython {platform.python_version()}")
    report(f"{'calibration, once per process':<52} {spread(times)}")
    for name, body in (("in a C call", in_a_c_call), ("leaf", leaf_loop), ("calls", calling_loop)):
        run_watched(name, body, layout, seconds)


def run_watched(name: str, body: Callable[[threading.Event], None], layout: Layout, seconds: float) -> None:
    stop, started, states = threading.Event(), threading.Event(), []

    def run() -> None:
        states.extend([this_thread_state(), threading.get_native_id()])
        started.set()
        body(stop)

    thread = threading.Thread(target=run)
    thread.start()
    started.wait()
    fd = os.open(MEMORY_PATH, os.O_RDONLY)
    arguments = [str(fd), layout.to_json(), json.dumps(states), name]
    command = [sys.executable, __file__, "--seconds", str(seconds), "--watch", *arguments]
    subprocess.run(command, pass_fds=[fd], check=True)
    os.close(fd)
    stop.set()
    thread.join()


def in_a_c_call(stop: threading.Event) -> None:
    async def nested(depth: int) -> None:
        if depth:
            await nested(depth - 1)
        else:
            while not stop.is_set():
                time.sleep(0.5)

    try:
        nested(COROUTINES).send(None)
    except StopIteration:
        return


def leaf_loop(stop: threading.Event) -> None:
    """One function that computes for milliseconds at a time."""
    while not stop.is_set():
        total = 0
        for number in range(1_000_000):
            total += number * number


def calling_loop(stop: threading.Event) -> None:
    """Small functions and generators that call each other: the stack changes all the time."""

    def small(number: int) -> int:
        return number + 1

    while not stop.is_set():
        for number in (small(number) for number in range(1000)):
            small(number)


def watch(fd: str, layout_text: str, states: str, name: str, *, seconds: float) -> None:
    memory, layout = ProcessMemory(int(fd)), Layout.from_json(layout_text)
    state, native_id = json.loads(states)
    if name != "in a C call":
        walker = Walker(memory, layout)
        repeat(lambda: walker.walk(state, native_id), seconds)
        share = walker.dropped / (walker.taken + walker.dropped)
        report(f"{f'busy thread ({name}): share of walks dropped':<52} {share:8.1%} of {walker.taken + walker.dropped}")
        return
    still = Walker(memory, layout, pause=lambda: None)
    paused = Walker(memory, layout)
    walk = still.walk(state, native_id)
    assert walk is not None
    kinds: list[tuple[str, Callable[[], object]]] = [
        ("uncached, without pauses", lambda: Walker(memory, layout, pause=lambda: None).walk(state, native_id)),
        ("cached, without pauses", lambda: still.walk(state, native_id)),
        ("cached, with pauses", lambda: paused.walk(state, native_id)),
    ]
    for title, call in kinds:
        wall, cpu = repeat(call, seconds / len(kinds))
        report(f"{f'a walk of {len(walk.frames)} frames, {title}':<52} {spread(wall)}  CPU {spread(cpu)}")


def repeat(call: Callable[[], object], seconds: float) -> tuple[list[float], list[float]]:
    """Wall and processor time of each call, in microseconds."""
    wall, cpu = [], []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        began, began_cpu = time.perf_counter_ns(), time.process_time_ns()
        call()
        cpu.append((time.process_time_ns() - began_cpu) / 1000)
        wall.append((time.perf_counter_ns() - began) / 1000)
    return wall, cpu


def report(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def spread(values: list[float]) -> str:
    tenths = statistics.quantiles(values, n=10)
    return f"{statistics.median(values):8.0f} µs ({tenths[0]:.0f} to {tenths[-1]:.0f})"


if __name__ == "__main__":
    main()

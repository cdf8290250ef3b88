"""How right the durations of stalls are: blocks of known length, and what was recorded of them.

    python benchmarks/durations.py [--blocks 12] [--loop asyncio] [--write]

Each block sleeps, computes in Python or holds the GIL in C for 1.2 to 3 times the threshold, at an irregular moment
of a loop that had nothing to do or works all the time. The error is the recorded duration less the block's own;
wanted is at most 5 % or 5 ms, whichever is more. A block that was not told, or told twice, is counted apart. The
machine's own pauses (`starved`, `suspended`) are left out, and how many those were is told.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import uvloop
from load import quartiles
from machine import RESULTS, describe, write

from loophound import Detector
from loophound.detector.records import Cause, Stall

THRESHOLDS_MS = (10, 20, 50, 100, 500)
LENGTHS = (1.2, 1.3, 1.5, 2.0, 3.0)
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
OF_THE_MACHINE = frozenset({Cause.STARVED, Cause.SUSPENDED})
WANTED_SHARE, WANTED_S = 0.05, 0.005
CALIBRATION = 2_000_000


@dataclass(frozen=True, slots=True)
class Block:
    began_s: float  # time.time()
    length_s: float


@dataclass(slots=True)
class Errors:
    errors_ms: list[float] = field(default_factory=list)
    beyond: int = 0
    missed: int = 0
    of_the_machine: int = 0


def compute(length_s: float) -> None:
    until_s = time.monotonic() + length_s
    while time.monotonic() < until_s:
        pass


def hold_the_gil(length_s: float) -> None:
    """One call in C, as long as a machine of this speed takes for it."""
    began_s = time.perf_counter()
    sum(range(CALIBRATION))
    sum(range(int(CALIBRATION * length_s / (time.perf_counter() - began_s))))


WAYS: dict[str, Callable[[float], None]] = {"sleep": time.sleep, "Python": compute, "C with the GIL": hold_the_gil}


async def blocks(way: Callable[[float], None], threshold_s: float, count: int, busy: bool) -> list[Block]:
    async def work() -> None:
        while True:
            await asyncio.sleep(0)

    worker = asyncio.ensure_future(work()) if busy else None
    done: list[Block] = []
    for number in range(count):
        await asyncio.sleep(0.15 + threshold_s * (1 + random.random()))
        began_s, began = time.time(), time.monotonic()
        way(threshold_s * LENGTHS[number % len(LENGTHS)])
        done.append(Block(began_s, time.monotonic() - began))
    if worker is not None:
        worker.cancel()
    await asyncio.sleep(0.15)
    return done


def measure(loop: str, way: str, threshold_s: float, count: int, busy: bool) -> Errors:
    from datetime import datetime

    told: list[Stall] = []
    with Detector(threshold_s, on_stall=told.append) as detector:
        if not detector.wait_for_observer():
            sys.exit(f"no observer: {detector.observer_problem}")
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            done = runner.run(blocks(WAYS[way], threshold_s, count, busy))
    errors = Errors()
    stalls = [(datetime.fromisoformat(s.at).timestamp(), s) for s in told if not s.ongoing]
    for block in done:
        if block.length_s < threshold_s:  # the machine was faster than when it was tried
            continue
        middle_s = block.began_s + block.length_s / 2
        found = [s for at_s, s in stalls if at_s <= middle_s <= at_s + s.duration_s]
        if any(s.cause in OF_THE_MACHINE for s in found):
            errors.of_the_machine += 1
        elif len(found) != 1:
            errors.missed += 1
        else:
            error_s = found[0].duration_s - block.length_s
            errors.errors_ms.append(error_s * 1000)
            errors.beyond += abs(error_s) > max(block.length_s * WANTED_SHARE, WANTED_S)
    return errors


def main() -> None:
    options = parse_options()
    report = (
        f"## Durations, {describe()}\n"
        f"{options.blocks} blocks each, of 1.2 to 3 times the threshold, on {options.loop}. The error is the recorded "
        "duration less the block's own: median, and the quartiles in brackets. Wanted: within 5 % or 5 ms.\n\n"
        "| threshold | block | loop before | error, ms | largest, ms | beyond | not told | machine's |\n"
        "|---|---|---|---|---|---|---|---|\n"
    )
    for threshold_ms in options.threshold or THRESHOLDS_MS:
        for way in WAYS:
            for busy in (False, True):
                errors = measure(options.loop, way, threshold_ms / 1000, options.blocks, busy)
                report += row(f"{threshold_ms} ms", way, "busy" if busy else "idle", errors)
                sys.stderr.write(report.splitlines()[-1] + "\n")
    sys.stdout.write(report)
    if options.write:
        write(report)


def row(threshold: str, way: str, before: str, errors: Errors) -> str:
    known = errors.errors_ms
    low, middle, high = quartiles(known) if len(known) > 1 else (0.0, 0.0, 0.0)
    largest = max(known, key=abs, default=0.0)
    told = f"{middle:.1f} ({low:.1f} to {high:.1f}) | {largest:.1f}"
    return (
        f"| {threshold} | {way} | {before} | {told} | {errors.beyond} | {errors.missed} | {errors.of_the_machine} |\n"
    )


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure how right the durations of stalls are.")
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument("--loop", choices=list(LOOPS), default="uvloop")
    parser.add_argument("--threshold", type=int, action="append", help="in milliseconds; several times for several")
    parser.add_argument("--write", action="store_true", help=f"put the table into {RESULTS.name}")
    return parser.parse_args()


if __name__ == "__main__":
    main()

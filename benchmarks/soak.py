"""A soak: stalls of all kinds at load, for as long as asked, while signals, children and threads come and go.

    python benchmarks/soak.py [--seconds 600] [--stalls 10000] [--write]

One process runs a server and its clients under a detector with threshold 10 ms, a record file and a ledger. It counts
itself what it blocks, and for how long. At the end every stall that it made must have been counted, each
where it belongs: recorded one by one, in the ledger, and by the detector; memory must have stayed flat; and
nothing may have been dropped, or failed. Exits 1 otherwise.

A stall counts as lost when none was told that overlaps it. Short ones that the machine drowned (the records
say starved) are counted apart.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import queue
import random
import re
import resource
import signal
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from machine import RESULTS, describe, write

from loophound.detector.detector import Detector
from loophound.detector.records import Stall
from loophound.ledger.store import load
from loophound.ledger.writer import LedgerFace

THRESHOLD_S = 0.01
BLOCK_S = (0.02, 0.03)
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
GROWTH_BYTES = 24 << 20  # after the warm-up; what the interpreter's arenas move by themselves
WARM_UP = 0.2  # of the time
OF_THE_MACHINE = ("starved", "suspended", "contention")


def blocks() -> dict[str, Callable[[float], object]]:
    """Each blocks the loop for about so many seconds."""
    ours, theirs = socket.socketpair()
    pattern, text = re.compile("(a+)+$"), "a" * 18 + "b"

    def compute(seconds: float) -> None:
        until_s = time.perf_counter() + seconds
        while time.perf_counter() < until_s:
            sum(n * n for n in range(100))

    def match(seconds: float) -> None:
        until_s = time.perf_counter() + seconds
        while time.perf_counter() < until_s:
            pattern.match(text)

    def wait_for_lock(seconds: float) -> None:
        threading.Event().wait(seconds)

    def wait_for_queue(seconds: float) -> None:
        jobs: queue.Queue[int] = queue.Queue()
        try:
            jobs.get(timeout=seconds)
        except queue.Empty:
            return

    def receive(seconds: float) -> None:
        ours.settimeout(seconds)
        try:
            ours.recv(1)
        except TimeoutError:
            return
        finally:
            assert theirs

    return {
        "sleep": time.sleep,
        "cpu": compute,
        "native": match,
        "lock": wait_for_lock,
        "queue": wait_for_queue,
        "io": receive,
    }


async def soak(seconds: float, wanted: int, made: list[tuple[str, int, int]], memory: list[int]) -> Counter[str]:
    """Serve and block; notes what was made, and the resident memory each second."""
    done = Counter[str]()
    stop = time.monotonic() + seconds
    kinds = itertools.cycle(blocks().items())
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, lambda: done.update(signals=1))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            done["requests"] += 1
            writer.write(b"ok\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()

    async def ask() -> None:
        while time.monotonic() < stop:
            reader, writer = await asyncio.open_connection(*address)
            for _ in range(20):
                writer.write(b"hello\n")
                await reader.readline()
                await asyncio.sleep(0.002)
            writer.close()

    async def disturb() -> None:
        while time.monotonic() < stop:
            await asyncio.sleep(0.5)
            os.kill(os.getpid(), signal.SIGUSR1)
            child = await asyncio.create_subprocess_exec("true")
            await child.wait()
            await asyncio.gather(*(asyncio.to_thread(time.sleep, 0.01) for _ in range(4)))
            thread = threading.Thread(target=time.sleep, args=(0.01,))
            thread.start()
            done.update(children=1, threads=5)
            memory.append(resident_bytes())

    async def block() -> None:
        pause_s = seconds / wanted
        next_s = time.monotonic()
        while time.monotonic() < stop and len(made) < wanted:
            kind, run = next(kinds)
            began_ns = time.monotonic_ns()
            run(random.uniform(*BLOCK_S))
            made.append((kind, began_ns, time.monotonic_ns()))
            next_s += pause_s
            await asyncio.sleep(max(0.006, next_s - time.monotonic()))

    await asyncio.gather(block(), disturb(), *(ask() for _ in range(8)))
    server.close()
    return done


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE_BYTES


def main() -> int:
    options = parse_options()
    made: list[tuple[str, int, int]] = []
    memory: list[int] = []
    told: list[tuple[str, int, int]] = []
    complaints: list[str] = []

    def note(stall: Stall) -> None:
        if not stall.ongoing:
            ended_ns = time.monotonic_ns()
            told.append((stall.cause.value, ended_ns, int(stall.duration_s * 1e9)))

    with tempfile.TemporaryDirectory() as folder:
        record, ledger = Path(folder, "stalls.jsonl"), Path(folder, "ledger.db")
        keeper = LedgerFace(ledger, complaints.append)
        detector = Detector(THRESHOLD_S, record=record, faces=[note, keeper])
        keeper.start()
        detector.start()
        detector.wait_for_observer()
        done = asyncio.run(soak(options.seconds, options.stalls, made, memory))
        detector.settle(10)
        dropped = detector._stream.dropped
        detector.stop()
        keeper.close()
        lines = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]
        recorded = [line for line in lines if not line["ongoing"]]
        in_ledger = sum(group.count for group in load(ledger))
    return judge(options, made, told, recorded, in_ledger, dropped, memory, done, complaints)


def judge(
    options: argparse.Namespace,
    made: list[tuple[str, int, int]],
    told: list[tuple[str, int, int]],
    recorded: list[dict[str, object]],
    in_ledger: int,
    dropped: int,
    memory: list[int],
    done: Counter[str],
    complaints: list[str],
) -> int:
    causes = Counter(str(line["cause"]) for line in recorded)
    accused = sum(count for cause, count in causes.items() if cause not in OF_THE_MACHINE)
    half = memory[int(len(memory) * WARM_UP) :] or [0]
    early, late = statistics.median(half[: len(half) // 4 + 1]), statistics.median(half[-(len(half) // 4 + 1) :])
    problems = list(complaints)
    if not len(told) == len(recorded) == in_ledger:
        problems.append(f"counts differ: {len(told)} told, {len(recorded)} in the file, {in_ledger} in the ledger")
    if dropped:
        problems.append(f"{dropped} were dropped")
    if late - early > GROWTH_BYTES:
        problems.append(f"memory grew by {(late - early) / 1e6:.0f} MB")
    if len(recorded) < 0.97 * len(made):
        problems.append(f"{len(made)} stalls were made, and only {len(recorded)} told")
    most_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    report = (
        f"## Soak, {describe()}\n"
        f"{options.seconds:.0f} s at a threshold of 10 ms: {len(made)} blocks of 20 to 30 ms were made, "
        f"{len(recorded)} stalls recorded ({', '.join(f'{n} {c}' for c, n in causes.most_common())}; {accused} of them "
        f"accuse a line), as many in the ledger; {done['requests']} requests, {done['signals']} signals, "
        f"{done['children']} children and {done['threads']} threads meanwhile. Resident memory {early / 1e6:.1f} MB "
        f"after the warm-up, {late / 1e6:.1f} MB at the end, {most_mb:.1f} MB at most. "
        f"{'Problems: ' + '; '.join(problems) if problems else 'No count was lost.'}\n"
    )
    sys.stdout.write(report)
    if options.write:
        write(report)
    return int(bool(problems))


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Block a loop thousands of times, and count.")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--stalls", type=int, default=10_000)
    parser.add_argument("--write", action="store_true", help=f"put the account into {RESULTS.name}")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

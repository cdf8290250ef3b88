"""What detection costs: requests per second and CPU per request, with and without --detect-blocking.

    python benchmarks/detection_cost.py [--pairs 10] [--slices 12] [--write]

Two servers run, with and without; wrk loads one of them for a fifth of a second, then the other,
and so on: shared machines change their speed by half within a second, and so both see the same.
A pair is two new processes and so many slices of each. Its ratio is that of their requests per second; the median and
the quartiles over the pairs are shown. The loaded server and its observer share one core, wrk has
another, and so has the server that waits. CPU time is from /proc/PID/stat (proc(5)), of the server
with its watchdog thread and of its observer apart.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from load import HERE, SLICE_S, Run, Server, give_up, positive, quartiles, running, two_cores
from machine import RESULTS, describe, write

APPS = {"bare ASGI": "hello:bare", "FastAPI": "hello:fastapi"}
CONNECTIONS = 32
WARM_UP_S = 1.0
TARGET_RATIO = 0.97


@dataclass(frozen=True, slots=True)
class Pair:
    """The two servers under the same load, in turns."""

    without: Run
    detecting: Run

    @property
    def ratio(self) -> float:
        return self.detecting.requests_per_s / self.without.requests_per_s

    @property
    def cpu_ratio(self) -> float:
        return (self.detecting.server_us + self.detecting.observer_us) / self.without.server_us


def main() -> None:
    options = parse_options()
    cores = two_cores()
    report = (
        f"## Cost of detection, {describe()}\n"
        f"Default options. wrk with {CONNECTIONS} connections on one core, server and observer on another; "
        f"median of {options.pairs} pairs of {options.slices} alternating slices of {SLICE_S} s, "
        f"the quartiles in brackets.\nTarget: a ratio of at least {TARGET_RATIO}.\n\n{HEADING}"
    )
    for name, app in APPS.items():
        report += "\n" + row(name, measure(app, options.pairs, options.slices, cores))
    sys.stdout.write(f"\n{report}\n")
    if options.write:
        write(report)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure what --detect-blocking costs.")
    parser.add_argument("--pairs", type=positive, default=10, help="pairs of runs for each application (10)")
    parser.add_argument("--slices", type=positive, default=12, help="slices of load of each server in a pair (12)")
    parser.add_argument("--write", action="store_true", help=f"put the table into {RESULTS.name}")
    return parser.parse_args()


def measure(app: str, pairs: int, slices: int, cores: Sequence[int]) -> list[Pair]:
    measured: list[Pair] = []
    for number in range(pairs):
        # New processes for each pair: where the code of one happens to lie in memory is worth some per cent.
        with serving(app, False, cores) as without, serving(app, True, cores) as detecting:
            measured.append(compare(without, detecting, slices))
        sys.stderr.write(f"{app} {number + 1}/{pairs}: ratio {measured[-1].ratio:.3f}\n")
    return measured


def compare(without: Server, detecting: Server, slices: int) -> Pair:
    pair = Pair(Run(), Run())
    turns = [(without, pair.without), (detecting, pair.detecting)]
    for server, _ in turns:
        server.load(Run(), WARM_UP_S, wrk(server))
    for _ in range(slices):
        for server, run in turns:
            server.load(run, SLICE_S, wrk(server))
        # The other way round next time, so that a trend of the machine favours neither.
        turns.reverse()
    return pair


def wrk(server: Server) -> list[str]:
    return [f"-c{CONNECTIONS}", f"http://127.0.0.1:{server.port}/"]


@contextmanager
def serving(app: str, detecting: bool, cores: Sequence[int]) -> Iterator[Server]:
    # As users start it, access log included, which goes to nobody.
    command = [sys.executable, "-m", "loophound", "serve", app, "--app-dir", str(HERE)]
    command += ["--port", "PORT", "--log-level", "warning", *(["--detect-blocking"] if detecting else [])]
    with running(command) as (pid, port):
        observers = observers_of(pid)
        if detecting and not observers:
            give_up("the server runs without its observer: see `loophound doctor`")
        yield Server(pid, port, cores, observers)


def observers_of(pid: int) -> list[int]:
    """The observers of a process; it starts them detached, so they are not its children."""
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and watched_by(entry) == pid]


def watched_by(process: Path) -> int | None:
    """The process that an observer watches, from its settings; None for any other program."""
    try:
        arguments = (process / "cmdline").read_text(encoding="utf-8", errors="replace").rstrip("\0").split("\0")
    except OSError:  # it has ended, or is another user's
        return None
    if arguments[-3:-1] != ["-m", "loophound.observer"]:
        return None
    return int(json.loads(arguments[-1])["pid"])


HEADING = (
    "| application | requests/s without | with | ratio | CPU per request without "
    "| with | of it the observer | CPU ratio |\n|---|---|---|---|---|---|---|---|"
)


def row(name: str, pairs: list[Pair]) -> str:
    ratios = [pair.ratio for pair in pairs]
    low, middle, high = quartiles(ratios)
    without = [pair.without for pair in pairs]
    detecting = [pair.detecting for pair in pairs]
    cells = (
        name,
        f"{statistics.median(run.requests_per_s for run in without):,.0f}",
        f"{statistics.median(run.requests_per_s for run in detecting):,.0f}",
        f"{middle:.3f} ({low:.3f} to {high:.3f}): {'met' if middle >= TARGET_RATIO else 'missed'}",
        f"{statistics.median(run.server_us for run in without):.1f} µs",
        f"{statistics.median(run.server_us + run.observer_us for run in detecting):.1f} µs",
        f"{statistics.median(run.observer_us for run in detecting):.2f} µs",
        f"{statistics.median(pair.cpu_ratio for pair in pairs):.3f}",
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()

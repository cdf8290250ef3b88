"""What dashboards cost the server that they watch: requests per second with three readers of its feed, and without.

    python benchmarks/feed_cost.py [--pairs 5] [--slices 6] [--write]

Two servers run, both with --detect-blocking; three readers take in all that the feed of one of them
says, and a fourth connects and never reads. wrk loads the one, then the other, and so on, two seconds
each, for the figures are made once a second. A pair is two new processes; its ratio is that of
their requests per second. The median and the quartiles over the pairs are shown. The loaded server
and its observer share one core; wrk, the readers and the server that waits have the other.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from detection_cost import APPS, CONNECTIONS, WARM_UP_S, observers_of, wrk
from load import HERE, Run, Server, give_up, positive, quartiles, running, two_cores
from machine import RESULTS, describe, write

READERS = 3
SLICE_S = 2.0
TARGET_RATIO = 0.99
READER = "import sys; from loophound.dashboards.feed import FeedReader; [None for _ in FeedReader(sys.argv[1])]"


def main() -> None:
    options = parse_options()
    cores = two_cores()
    report = (
        f"## Cost of the feed, {describe()}\n"
        f"{READERS} readers and one that never reads. wrk with {CONNECTIONS} connections and the readers on one core, "
        f"server and observer on another; median of {options.pairs} pairs of {options.slices} alternating slices of "
        f"{SLICE_S:g} s, the quartiles in brackets.\nTarget: a ratio of at least {TARGET_RATIO}.\n\n{HEADING}"
    )
    for name, app in APPS.items():
        report += "\n" + row(name, measure(app, options.pairs, options.slices, cores))
    sys.stdout.write(f"\n{report}\n")
    if options.write:
        write(report)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure what readers of the feed cost.")
    parser.add_argument("--pairs", type=positive, default=5, help="pairs of runs for each application (5)")
    parser.add_argument("--slices", type=positive, default=6, help="slices of load of each server in a pair (6)")
    parser.add_argument("--write", action="store_true", help=f"put the table into {RESULTS.name}")
    return parser.parse_args()


def measure(app: str, pairs: int, slices: int, cores: Sequence[int]) -> list[tuple[Run, Run]]:
    measured = []
    for number in range(pairs):
        with serving(app, cores, 0) as alone, serving(app, cores, READERS) as watched:
            measured.append(compare(alone, watched, slices))
        sys.stderr.write(f"{app} {number + 1}/{pairs}: ratio {ratio(*measured[-1]):.3f}\n")
    return measured


def compare(alone: Server, watched: Server, slices: int) -> tuple[Run, Run]:
    turns = [(alone, Run()), (watched, Run())]
    pair = (turns[0][1], turns[1][1])
    for server, _ in turns:
        server.load(Run(), WARM_UP_S, wrk(server))
    for _ in range(slices):
        for server, run in turns:
            server.load(run, SLICE_S, wrk(server))
        turns.reverse()  # so that a trend of the machine favours neither
    return pair


def ratio(alone: Run, watched: Run) -> float:
    return watched.requests_per_s / alone.requests_per_s


@contextmanager
def serving(app: str, cores: Sequence[int], readers: int) -> Iterator[Server]:
    with ExitStack() as at_end:
        feed = Path(at_end.enter_context(TemporaryDirectory()), "feed")
        command = [sys.executable, "-m", "loophound", "serve", app, "--app-dir", str(HERE), "--port", "PORT"]
        command += ["--log-level", "warning", "--detect-blocking", f"--feed={feed}"]
        pid, port = at_end.enter_context(running(command))
        if readers:
            read(feed, readers, cores[1], at_end)
        yield Server(pid, port, cores, observers_of(pid))


def read(feed: Path, readers: int, core: int, at_end: ExitStack) -> None:
    """Start the readers, and wait until each has been there for some seconds, so that all figures are made."""
    processes = []
    for _ in range(readers):
        pinned = ["taskset", "-c", str(core), sys.executable, "-c", READER, str(feed)]
        process = subprocess.Popen(pinned, cwd=HERE.parent)
        processes.append(process)
        at_end.callback(process.wait)
        at_end.callback(process.kill)
    silent = at_end.enter_context(socket.socket(socket.AF_UNIX))
    silent.connect(str(feed))
    time.sleep(3)
    if any(process.poll() is not None for process in processes):
        give_up("a reader of the feed has ended")


HEADING = (
    "| application | requests/s without readers | with | ratio | CPU of the server per request without | with "
    "| of the observer without | with |\n|---|---|---|---|---|---|---|---|"
)


def row(name: str, pairs: list[tuple[Run, Run]]) -> str:
    low, middle, high = quartiles([ratio(*pair) for pair in pairs])
    alone, watched = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    median = statistics.median
    cells = (
        name,
        f"{median(run.requests_per_s for run in alone):,.0f}",
        f"{median(run.requests_per_s for run in watched):,.0f}",
        f"{middle:.3f} ({low:.3f} to {high:.3f}): {'met' if middle >= TARGET_RATIO else 'missed'}",
        f"{median(run.server_us for run in alone):.1f} µs",
        f"{median(run.server_us for run in watched):.1f} µs",
        f"{median(run.observer_us for run in alone):.2f} µs",
        f"{median(run.observer_us for run in watched):.2f} µs",
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()

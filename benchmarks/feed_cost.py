"""What dashboards cost the server that they watch: requests per second with three readers of its feed, and without.

    python benchmarks/feed_cost.py [--pairs 1] [--slices 20] [--write]

A server runs with --detect-blocking, and wrk loads it for two seconds at a time, for the figures are made
once a second. Before every second slice three readers join its feed, which take in all that it says, and a
fourth that connects and never reads; before the next they leave. So one process is compared with itself:
where the code of a process lies in memory is worth more than what is measured here. The median and the
quartiles of the ratios of neighbouring slices are shown. The server and its observer share one core; wrk
and the readers have the other.

The CPU time (schedstat, proc(5)) tells where it goes: in the main thread for each request, in the
server's other threads and in the observer, which is another process, for each second.
"""

from __future__ import annotations

import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from detection_cost import observers_of
from load import HERE, Run, Server, give_up, quartiles, running, two_cores
from turns import CONNECTIONS, Pair, in_turns, judged, options, told, whole, wrk

READERS = 3
SLICE_S = 2.0
SETTLING_S = 1.2  # until the process knows that somebody reads, or that nobody does any more
WARM_UP_S = 2.0
TARGET_RATIO = 0.99
READER = (
    "import sys, threading; from loophound.dashboards.feed import FeedReader\n"
    "threading.Thread(target=lambda: [None for _ in FeedReader(sys.argv[1])], daemon=True).start(); sys.stdin.read()"
)


def main() -> None:
    asked = options("what readers of the feed cost", pairs=1, slices=20)
    cores = two_cores()
    text = (
        f"{READERS} readers and one that never reads. wrk with {CONNECTIONS} connections and the readers on one core, "
        f"server and observer on another; median of {asked.pairs * asked.slices} pairs of neighbouring slices of "
        f"{SLICE_S:g} s, the quartiles in brackets.\nTarget: a ratio of at least {TARGET_RATIO}."
    )
    told(
        "Cost of the feed", text, HEADING, lambda name, app: row(name, measure(app, asked.pairs, asked.slices, cores)),
        asked,
    )  # fmt: skip


def measure(app: str, pairs: int, slices: int, cores: Sequence[int]) -> list[Pair]:
    measured: list[Pair] = []
    for number in range(pairs):
        with serving(app, cores) as (server, feed):
            server.load(Run(), WARM_UP_S, wrk(server))
            measured += in_turns(loading(server), with_readers(loading(server), feed, cores[1]), slices)
        middle = statistics.median(pair.ratio for pair in measured)
        sys.stderr.write(f"{app} {number + 1}/{pairs}: ratio {middle:.3f}\n")
    return measured


def loading(server: Server) -> Callable[[Run], None]:
    def load(run: Run) -> None:
        time.sleep(SETTLING_S)
        server.load(run, SLICE_S, wrk(server))

    return load


def with_readers(load: Callable[[Run], None], feed: Path, core: int) -> Callable[[Run], None]:
    def load_watched(run: Run) -> None:
        with Readers(feed, core) as readers:
            load(run)
            readers.check()

    return load_watched


class Readers:
    """Those who read, and the one who does not."""

    def __init__(self, feed: Path, core: int) -> None:
        pinned = ["taskset", "-c", str(core), sys.executable, "-c", READER, str(feed)]
        self._processes = [subprocess.Popen(pinned, cwd=HERE.parent, stdin=subprocess.PIPE) for _ in range(READERS)]
        self._silent = socket.socket(socket.AF_UNIX)
        self._silent.connect(str(feed))

    def check(self) -> None:
        if any(process.poll() is not None for process in self._processes):
            give_up("a reader of the feed has ended")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._silent.close()
        for process in self._processes:
            process.communicate()  # the end of its input ends it


@contextmanager
def serving(app: str, cores: Sequence[int]) -> Iterator[tuple[Server, Path]]:
    with ExitStack() as at_end:
        feed = Path(at_end.enter_context(TemporaryDirectory()), "feed")
        command = [sys.executable, "-m", "loophound", "serve", app, "--app-dir", str(HERE), "--port", "PORT"]
        command += ["--log-level", "warning", "--detect-blocking", f"--feed={feed}"]
        pid, port = at_end.enter_context(running(command))
        yield Server(pid, port, cores, observers_of(pid)), feed


HEADING = (
    "| application | requests/s without readers | with | ratio | CPU per request, observer included: ratio "
    "| main thread, a request, without | with "
    "| other threads, a second, without | with | observer, a second, without | with |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|"
)


def row(name: str, pairs: list[Pair]) -> str:
    both = whole(pairs)
    median = statistics.median
    cells = (
        name,
        f"{median(pair.without.requests_per_s for pair in pairs):,.0f}",
        f"{median(pair.having.requests_per_s for pair in pairs):,.0f}",
        judged([pair.ratio for pair in pairs], TARGET_RATIO),
        "{1:.3f} ({0:.3f} to {2:.3f})".format(*quartiles([cost(pair) for pair in pairs])),
        f"{median(map(main_us, (pair.without for pair in pairs))):.2f} µs",
        f"{median(map(main_us, (pair.having for pair in pairs))):.2f} µs",
        *(f"{run.threads_s / run.seconds * 1e3:.1f} ms" for run in (both.without, both.having)),
        *(f"{run.observer_s / run.seconds * 1e3:.1f} ms" for run in (both.without, both.having)),
    )
    return f"| {' | '.join(cells)} |"


def cost(pair: Pair) -> float:
    """How many times the CPU time of a request without readers it takes with them."""
    return (pair.having.server_us + pair.having.observer_us) / (pair.without.server_us + pair.without.observer_us)


def main_us(run: Run) -> float:
    """CPU time of the server's main thread for a request."""
    return (run.server_s - run.threads_s) / run.requests * 1e6


if __name__ == "__main__":
    main()

"""What dashboards cost the server that they watch: requests per second with three readers of its feed, and without.

    python benchmarks/feed_cost.py [--pairs 1] [--slices 10] [--write]

A server runs with --detect-blocking, and wrk loads it for two seconds at a time, for the figures are made
once a second. Before every second slice three readers join its feed, which take in all that it says, and a
fourth that connects and never reads; before the next they leave. So one process is compared with itself:
where the code of a process lies in memory is worth more than what is measured here. The median and the
quartiles of the ratios of neighbouring slices are shown. The server and its observer share one core; wrk
and the readers have the other.

On a shared machine neighbouring slices differ by more than what is sought, so the CPU time is taken apart. What a
request pays for being counted, one in many noted, is the difference of the best rounds of the server's own code for the
end of a request, run alone with it and without. What the server's other threads and the observer take is from
schedstat (proc(5)), under full load. The sum is the share of the core that a fully loaded server loses.
"""

from __future__ import annotations

import socket
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from detection_cost import observers_of
from load import HERE, Run, Server, give_up, quartiles, running, two_cores
from turns import CONNECTIONS, Pair, in_turns, options, told, whole, wrk

from loophound.server.cycle import Cycle

READERS = 3
SLICE_S = 2.0
SETTLING_S = 1.2  # until the process knows that somebody reads, or that nobody does any more
WARM_UP_S = 2.0
NOTED_PER_S = 100
ROUNDS, IN_A_ROUND = 100, 5000
MOST = 0.01
READER = (
    "import sys, threading; from loophound.dashboards.feed import FeedReader\n"
    "threading.Thread(target=lambda: [None for _ in FeedReader(sys.argv[1])], daemon=True).start(); sys.stdin.read()"
)


def main() -> None:
    asked = options("what readers of the feed cost", pairs=1, slices=10)
    cores = two_cores()
    text = (
        f"Target: at most {MOST:.0%} of the requests.\n"
        f"{READERS} readers and one that never reads. wrk with {CONNECTIONS} connections and the readers on one core, "
        f"server and observer on another; {asked.pairs * asked.slices} pairs of neighbouring slices of {SLICE_S:g} s. "
        "Of their ratios the median, the quartiles in brackets: where they are wide, they say little."
    )

    def tell(name: str, app: str) -> str:
        return row(name, measure(app, asked.pairs, asked.slices, cores))

    told("Cost of the feed", text, HEADING, tell, asked)


def measure(app: str, pairs: int, slices: int, cores: Sequence[int]) -> list[Pair]:
    measured: list[Pair] = []
    for number in range(pairs):
        with serving(app, cores) as (server, feed):
            server.load(Run(), WARM_UP_S, wrk(server))
            measured += in_turns(loading(server), with_readers(loading(server), feed, cores[1]), slices)
        middle = statistics.median(pair.ratio for pair in measured)
        sys.stderr.write(f"{app} {number + 1}/{pairs}: ratio {middle:.3f}\n")
    return measured


class Site:
    """As much of loophound.server.site.Site as the end of a request asks for."""

    __slots__ = ("access_log", "ended", "lately", "noted", "observed", "stride", "timed")

    def __init__(self, stride: int) -> None:
        self.stride, self.ended = stride, 0
        self.timed = self.observed = True
        self.access_log = None
        self.lately: deque[Any] = deque(maxlen=1)
        self.noted: deque[Any] = deque(maxlen=NOTED_PER_S)


class Connection:
    def __init__(self, site: Site) -> None:
        self.site = site

    def answered(self, cycle: Cycle) -> None: ...


def counting_us(requests_per_s: float) -> float:
    """CPU time that a request pays for being counted, at that rate."""
    best = dict.fromkeys((0, round(requests_per_s) // NOTED_PER_S + 1), float("inf"))
    for stride in [*best] * ROUNDS:
        cycle = Cycle(Connection(Site(stride)), {"type": "http", "method": "GET", "path": "/"}, b"/", True)  # type: ignore[arg-type]
        cycle.began_ns = time.monotonic_ns() + 10**12  # never a slow one
        end = cycle._ended
        began_ns = time.thread_time_ns()
        for _ in range(IN_A_ROUND):
            end()
        best[stride] = min(best[stride], (time.thread_time_ns() - began_ns) / IN_A_ROUND / 1e3)
    plain, counted = best.values()
    return counted - plain


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
    "| application | all of it, share of the core | counting | of a request's CPU time | other threads, a second, "
    "without readers | with | observer, a second, without | with | requests/s with readers: ratio |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def row(name: str, pairs: list[Pair]) -> str:
    both = whole(pairs)
    main_us = statistics.median((p.without.server_s - p.without.threads_s) / p.without.requests * 1e6 for p in pairs)
    threads = [run.threads_s / run.seconds for run in (both.without, both.having)]
    observer = [run.observer_s / run.seconds for run in (both.without, both.having)]
    counting = counting_us(both.having.requests_per_s)
    share = counting / main_us + threads[1] - threads[0] + observer[1] - observer[0]
    cells = (
        name,
        f"{share:.2%}: {'met' if share <= MOST else 'missed'}",
        f"{counting:.2f} µs",
        f"{main_us:.1f} µs",
        *(f"{seconds * 1e3:.1f} ms" for seconds in (*threads, *observer)),
        "{1:.3f} ({0:.3f} to {2:.3f})".format(*quartiles([pair.ratio for pair in pairs])),
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()

"""What detection costs: requests per second and CPU per request, with and without --detect-blocking.

    python benchmarks/detection_cost.py [--pairs 10] [--slices 12] [--write]

Two servers run, with and without; wrk loads one of them for a fifth of a second, then the other,
and so on: shared machines change their speed by half within a second, and so both see the same.
A pair is two new processes and so many slices of each. Its ratio is that of their requests per second; the median and
the quartiles over the pairs are shown. The loaded server and its observer share one core, wrk has
another, and so has the server that waits. CPU time is from schedstat (proc(5)), of the server
with its watchdog thread and of its observer apart.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from load import HERE, SLICE_S, Run, Server, give_up, running, two_cores
from turns import CONNECTIONS, Pair, in_turns, judged, options, told, whole, wrk

WARM_UP_S = 1.0
TARGET_RATIO = 0.97


def main() -> None:
    asked = options("what --detect-blocking costs", pairs=10, slices=12)
    cores = two_cores()
    text = (
        f"Default options. wrk with {CONNECTIONS} connections on one core, server and observer on another; "
        f"median of {asked.pairs} pairs of {asked.slices} alternating slices of {SLICE_S} s, "
        f"the quartiles in brackets.\nTarget: a ratio of at least {TARGET_RATIO}."
    )
    told(
        "Cost of detection", text, HEADING, lambda name, app: row(name, measure(app, asked.pairs, asked.slices, cores)),
        asked,
    )  # fmt: skip


def measure(app: str, pairs: int, slices: int, cores: Sequence[int]) -> list[Pair]:
    measured: list[Pair] = []
    for number in range(pairs):
        # New processes for each pair: where the code of one happens to lie in memory is worth some per cent.
        with serving(app, False, cores) as without, serving(app, True, cores) as detecting:
            measured.append(compare(without, detecting, slices))
        sys.stderr.write(f"{app} {number + 1}/{pairs}: ratio {measured[-1].ratio:.3f}\n")
    return measured


def compare(without: Server, detecting: Server, slices: int) -> Pair:
    for server in (without, detecting):
        server.load(Run(), WARM_UP_S, wrk(server))
    return whole(
        in_turns(
            lambda run: without.load(run, SLICE_S, wrk(without)),
            lambda run: detecting.load(run, SLICE_S, wrk(detecting)),
            slices,
        )
    )


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
    without = [pair.without for pair in pairs]
    detecting = [pair.having for pair in pairs]
    cells = (
        name,
        f"{statistics.median(run.requests_per_s for run in without):,.0f}",
        f"{statistics.median(run.requests_per_s for run in detecting):,.0f}",
        judged([pair.ratio for pair in pairs], TARGET_RATIO),
        f"{statistics.median(run.server_us for run in without):.1f} µs",
        f"{statistics.median(run.server_us + run.observer_us for run in detecting):.1f} µs",
        f"{statistics.median(run.observer_us for run in detecting):.2f} µs",
        f"{statistics.median(pair.cpu_ratio for pair in pairs):.3f}",
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()

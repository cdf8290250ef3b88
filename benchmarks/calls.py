"""What it costs to flag blocking calls: CPU per request of a hello, with and without.

    python benchmarks/calls.py [--pairs 6] [--slices 12] [--write]

As benchmarks/detection_cost.py, two servers in turns, new processes for each pair. The application's own middleware
under Loophound's server and under uvicorn, and `--detect-blocking=calls`, which needs no middleware.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from load import HERE, Run, Server, positive, quartiles, running, two_cores
from machine import RESULTS, describe, write

CONNECTIONS = 32
WARM_UP_S = 1.0
SLICE_S = 0.4
TARGET_RATIO = 1.05
LOOPHOUND = ["-m", "loophound", "serve", "--app-dir", str(HERE), "--port", "PORT", "--log-level", "warning"]
UVICORN = ["-m", "uvicorn", "--app-dir", str(HERE), "--port", "PORT", "--log-level", "warning", "--no-access-log"]
CASES = {
    "loophound serve, bare ASGI": ([*LOOPHOUND, "hello:bare"], [*LOOPHOUND, "--factory", "hello:flagged_bare"]),
    "loophound serve, FastAPI": ([*LOOPHOUND, "hello:fastapi"], [*LOOPHOUND, "--factory", "hello:flagged_fastapi"]),
    "`--detect-blocking=calls`, bare ASGI": (
        [*LOOPHOUND, "hello:bare"], [*LOOPHOUND, "--detect-blocking=calls", "hello:bare"],
    ),
    "uvicorn, bare ASGI": ([*UVICORN, "hello:bare"], [*UVICORN, "--factory", "hello:flagged_bare"]),
    "uvicorn, FastAPI": ([*UVICORN, "hello:fastapi"], [*UVICORN, "--factory", "hello:flagged_fastapi"]),
}  # fmt: skip
HEADING = "| hello | CPU per request without | with | ratio |\n|---|---:|---:|---:|\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pairs", type=positive, default=6, help="pairs of processes for each row (6)")
    parser.add_argument("--slices", type=positive, default=12, help="slices of load of each server in a pair (12)")
    parser.add_argument("--write", action="store_true", help=f"put the table into {RESULTS.name}")
    options = parser.parse_args()
    cores = two_cores()
    report = (
        f"## Cost of flagging calls, {describe()}\n"
        f"wrk with {CONNECTIONS} connections; median of {options.pairs} pairs of {options.slices} alternating slices "
        f"of {SLICE_S} s, the quartiles in brackets.\nTarget: a ratio of at most {TARGET_RATIO}.\n\n{HEADING}"
    )
    for name, (without, flagging) in CASES.items():
        pairs = [compare(without, flagging, options.slices, cores) for _ in range(options.pairs)]
        report += row(name, pairs)
        sys.stderr.write(report.splitlines()[-1] + "\n")
    sys.stdout.write(f"\n{report}\n")
    if options.write:
        write(report)


def compare(without: Sequence[str], flagging: Sequence[str], slices: int, cores: Sequence[int]) -> tuple[Run, Run]:
    runs = Run(), Run()
    with serving(without, cores) as plain, serving(flagging, cores) as flagged:
        turns = [(plain, runs[0]), (flagged, runs[1])]
        for server, _ in turns:
            server.load(Run(), WARM_UP_S, wrk(server))
        for _ in range(slices):
            for server, run in turns:
                server.load(run, SLICE_S, wrk(server))
            turns.reverse()
    return runs


def wrk(server: Server) -> list[str]:
    return [f"-c{CONNECTIONS}", f"http://127.0.0.1:{server.port}/"]


@contextmanager
def serving(arguments: Sequence[str], cores: Sequence[int]) -> Iterator[Server]:
    with running([sys.executable, *arguments]) as (pid, port):
        yield Server(pid, port, cores)


def row(name: str, pairs: Sequence[tuple[Run, Run]]) -> str:
    low, middle, high = quartiles([flagged.server_us / plain.server_us for plain, flagged in pairs])
    without, with_ = (statistics.median(pair[index].server_us for pair in pairs) for index in (0, 1))
    verdict = "met" if middle <= TARGET_RATIO else "missed"
    return f"| {name} | {without:.1f} µs | {with_:.1f} µs | {middle:.3f} ({low:.3f} to {high:.3f}): {verdict} |\n"


if __name__ == "__main__":
    main()

"""The frame of the benchmarks that load a server with something and without it, in turns."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from load import Run, Server, positive, quartiles
from machine import RESULTS, describe, write

APPS = {"bare ASGI": "hello:bare", "FastAPI": "hello:fastapi"}
CONNECTIONS = 32
Load = Callable[[Run], None]  # for one slice; what came of it is added to the run


@dataclass(frozen=True, slots=True)
class Pair:
    """The same load without and with what is measured."""

    without: Run
    having: Run

    @property
    def ratio(self) -> float:
        return self.having.requests_per_s / self.without.requests_per_s

    @property
    def cpu_ratio(self) -> float:
        return (self.having.server_us + self.having.observer_us) / self.without.server_us


def options(what: str, *, pairs: int, slices: int, argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=f"Measure {what}.")
    parser.add_argument("--pairs", type=positive, default=pairs, help=f"pairs of runs for each application ({pairs})")
    parser.add_argument("--slices", type=positive, default=slices, help=f"slices of load of each in a pair ({slices})")
    parser.add_argument("--app", choices=[*APPS], action="append", help="this application alone")
    parser.add_argument("--write", action="store_true", help=f"put the table into {RESULTS.name}")
    return parser.parse_args(argv)


def in_turns(without: Load, having: Load, slices: int) -> list[Pair]:
    """So many slices of each, side by side in time."""
    pairs = [Pair(Run(), Run()) for _ in range(slices)]
    for number, pair in enumerate(pairs):
        turns = [(without, pair.without), (having, pair.having)]
        # The other way round each time, so that a trend of the machine favours neither.
        for load, run in turns if number % 2 == 0 else reversed(turns):
            load(run)
    return pairs


def whole(pairs: Sequence[Pair]) -> Pair:
    """All slices added up."""
    return Pair(Run.sum(pair.without for pair in pairs), Run.sum(pair.having for pair in pairs))


def wrk(server: Server) -> list[str]:
    return [f"-c{CONNECTIONS}", f"http://127.0.0.1:{server.port}/"]


def judged(ratios: Sequence[float], target: float) -> str:
    low, middle, high = quartiles(ratios)
    return f"{middle:.3f} ({low:.3f} to {high:.3f}): {'met' if middle >= target else 'missed'}"


def told(title: str, text: str, heading: str, row: Callable[[str, str], str], asked: argparse.Namespace) -> None:
    """Measure each application, show the table and keep it where that is wanted; `row` makes a row of name and app."""
    report = f"## {title}, {describe()}\n{text}\n\n{heading}"
    apps: Mapping[str, str] = {name: APPS[name] for name in asked.app or APPS}
    for name, app in apps.items():
        report += "\n" + row(name, app)
    sys.stdout.write(f"\n{report}\n")
    if asked.write:
        write(report)

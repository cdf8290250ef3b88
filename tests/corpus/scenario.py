"""What a scenario is: a coroutine function and what is to be reported of it.

A scenario names the lines to blame by a comment at their ends, `# !name`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loophound.detector.records import Cause

THRESHOLD_S = 0.1
BLOCKED_S = 0.3
MARK = "# !"

Main = Callable[[], Coroutine[Any, Any, Any]]


@dataclass(frozen=True, slots=True)
class Expected:
    """One stall: why, and where. `marker` is the scenario's own name where it is empty."""

    causes: tuple[Cause, ...]  # mostly one; several where the truth depends on the platform
    marker: str = ""
    held: bool | None = None  # whether the GIL was; if so, only the observer could look meanwhile
    thread: str | None = None  # of the loop
    meanwhile: bool = False  # only the observer could look while it lasted
    at_least_s: float = 0.2


@dataclass(frozen=True, slots=True)
class Scenario:
    """`expected` in the order of time; nothing else may be reported but what the machine did."""

    name: str
    main: Main
    expected: tuple[Expected, ...]
    prepare: Callable[[], object] | None
    file: str
    starts_processes: bool = False  # for which its loop waits, as long as the machine takes


SCENARIOS: dict[str, Scenario] = {}


def stall(
    *causes: Cause,
    marker: str = "",
    held: bool | None = None,
    thread: str | None = None,
    meanwhile: bool = False,
    at_least_s: float = 0.2,
    prepare: Callable[[], object] | None = None,
) -> Callable[[Main], Main]:
    """The scenario blocks once, for one of the causes."""
    return stalls(Expected(causes, marker, held, thread, meanwhile, at_least_s), prepare=prepare)


def stalls(
    *expected: Expected, prepare: Callable[[], object] | None = None, starts_processes: bool = False
) -> Callable[[Main], Main]:
    """The scenario blocks as often as told; `prepare` runs before its loop does."""

    def add(main: Main) -> Main:
        name = main.__name__
        assert name not in SCENARIOS, name
        file = sys.modules[main.__module__].__file__ or ""
        SCENARIOS[name] = Scenario(name, main, expected, prepare, file, starts_processes)
        return main

    return add


quiet = stalls()
quiet_but_for_a_start = stalls(starts_processes=True)


def marked_lines(file: str, marker: str) -> set[int]:
    """The lines that end in `# !marker`."""
    text = Path(file).read_text(encoding="utf-8")
    found = {n for n, line in enumerate(text.splitlines(), 1) if line.endswith(f"{MARK}{marker}")}
    assert found, f"{file} has no line marked {marker}"
    return found

"""Whether the records of a run are what the scenario is to give."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from loophound.detector.records import INNOCENT, Cause, Place, Stall
from tests.corpus.scenario import Expected, Scenario, marked_lines

# What the machine or its owner does to a program at any time. They accuse nobody.
OF_THE_MACHINE = frozenset({Cause.STARVED, Cause.SUSPENDED})


def problems(scenario: Scenario, told: Sequence[Stall]) -> list[str]:
    """What is wrong, in words; empty when all is right."""
    expects_machine = any(OF_THE_MACHINE.intersection(e.causes) for e in scenario.expected)
    final = [s for s in told if not s.ongoing and (expects_machine or s.cause not in OF_THE_MACHINE)]
    if len(final) != len(scenario.expected):
        wanted = ", ".join("/".join(e.causes) for e in scenario.expected) or "none"
        return [f"wanted {wanted}; told {'; '.join(map(describe, final)) or 'nothing'}"]
    found = []
    for expected, stall in zip(scenario.expected, sorted(final, key=lambda s: s.at), strict=True):
        found += [f"{problem}: {describe(stall)}" for problem in _differences(scenario, expected, stall)]
    return found


def _differences(scenario: Scenario, expected: Expected, stall: Stall) -> list[str]:
    found = []
    if stall.cause not in expected.causes:
        return [f"wanted {'/'.join(expected.causes)}"]
    if stall.innocent is not (stall.cause in INNOCENT):
        found.append("innocent is wrong")
    if stall.innocent and stall.culprit is not None:
        found.append("an innocent cause has a culprit")
    named: Place | None = stall.culprit
    if stall.cause is Cause.CONTENTION and stall.other_thread is not None:
        named = Place(stall.other_thread.file, stall.other_thread.line, stall.other_thread.function)
    if stall.cause in (Cause.FLOOD, *OF_THE_MACHINE):
        named = None
    else:
        lines = marked_lines(scenario.file, expected.marker or scenario.name)
        if named is None or named.file != scenario.file or named.line not in lines:
            found.append(f"wanted line {'/'.join(map(str, sorted(lines)))}")
    if stall.duration_s + stall.duration_error_s + 0.005 < expected.at_least_s:
        found.append(f"shorter than {expected.at_least_s}")
    if expected.held is not None and stall.evidence.gil_held not in (expected.held, None):
        found.append(f"wanted gil_held {expected.held}")
    if (expected.held or expected.meanwhile) and stall.evidence.captured_by != "observer":
        found.append("not seen while it lasted")
    if expected.thread is not None and stall.thread != expected.thread:
        found.append(f"wanted thread {expected.thread}")
    return found


def describe(stall: Stall) -> str:
    """A record in a line."""
    where = stall.culprit or stall.other_thread
    place = f"{Path(where.file).name}:{where.line} {where.function}" if where else "nobody"
    return (
        f"{stall.cause} {stall.duration_s:.3f}s {place} [{stall.samples} by {stall.evidence.captured_by},"
        f" cpu {stall.evidence.cpu_share}, queue {stall.evidence.runqueue_s}, gil {stall.evidence.gil_held},"
        f" call {stall.evidence.syscall}]"
    )

"""Whose fault a stall is, as far as a test is concerned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from loophound.detector.records import Cause, Stall
from loophound.pytest_plugin.markers import Rules
from loophound.pytest_plugin.timeline import Timeline
from loophound.pytest_plugin.watch import Sighting

SLACK_NS = 5_000_000  # a record gives its time in milliseconds


class Verdict(StrEnum):
    """Only the first fails a test."""

    FAILED = "failed"
    KNOWN = "known"  # to the baseline
    ALLOWED = "allowed"  # by a marker
    EXPECTED = "expected"  # by the test
    INNOCENT = "innocent"  # no line of code is to blame, or the cause is ignored
    ELSEWHERE = "elsewhere"  # a loop that is none of the test's, or a time that is none


@dataclass(frozen=True, slots=True)
class Judged:
    """A stall, and what was made of it. `test` is empty outside tests, `fixture` outside fixtures."""

    stall: Stall
    verdict: Verdict
    why: str
    test: str
    phase: str
    fixture: str
    limit_ms: float

    @property
    def during(self) -> str:
        """`call`, `setup of fixture 'db'`; empty outside tests."""
        return f"{self.phase} of fixture {self.fixture!r}" if self.fixture else self.phase

    def to_dict(self) -> dict[str, Any]:
        return {
            "test": self.test,
            "phase": self.phase,
            "fixture": self.fixture,
            "verdict": self.verdict.value,
            "why": self.why,
            "limit_ms": self.limit_ms,
            "stall": self.stall.to_dict(),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Raises KeyError or ValueError for another shape."""
        values = {name: record[name] for name in ("why", "test", "phase", "fixture", "limit_ms")}
        return cls(stall=Stall.from_dict(record["stall"]), verdict=Verdict(record["verdict"]), **values)


@dataclass(frozen=True, slots=True)
class Judge:
    """`known` are the baseline's fingerprints; `learning` takes every stall for known."""

    ignored: frozenset[Cause]
    known: frozenset[str]
    learning: bool = False

    def judge(self, seen: Sighting, rules: Rules, timeline: Timeline | None, *, debugged: bool) -> Judged | None:
        """None for what is shorter than the limit."""
        stall = seen.stall
        if stall.duration_s * 1000 < rules.limit_ms:
            return None
        its_own = timeline is not None and belongs(seen, timeline)
        if timeline is None or not its_own:
            return Judged(stall, *_outside(stall, self.ignored), "", "", "", rules.limit_ms)
        verdict, why = self._judge(seen, rules, debugged)
        step, fixture = timeline.fixture_at(seen.middle_ns) or (timeline.phase_at(seen.middle_ns), "")
        return Judged(stall, verdict, why, timeline.test, step, fixture, rules.limit_ms)

    def _judge(self, seen: Sighting, rules: Rules, debugged: bool) -> tuple[Verdict, str]:
        stall = seen.stall
        if seen.expected:
            return Verdict.EXPECTED, "the test asked for it"
        if debugged:
            return Verdict.INNOCENT, "a debugger was at work"
        excuse = _excuse(stall, self.ignored)
        if excuse:
            return Verdict.INNOCENT, excuse
        on_cpu_ms = (stall.duration_s - (stall.evidence.runqueue_s or 0.0)) * 1000
        if on_cpu_ms < rules.limit_ms:
            return Verdict.INNOCENT, f"without the time in which the machine had no CPU for it, {on_cpu_ms:.0f} ms"
        if rules.reason:
            return Verdict.ALLOWED, rules.reason
        if self.learning or stall.fingerprint in self.known:
            return Verdict.KNOWN, "the baseline lists it"
        return Verdict.FAILED, ""


def belongs(seen: Sighting, timeline: Timeline) -> bool:
    """Whether it happened during the test, on a loop of the main thread, of the test's or of its fixtures'."""
    slack_ns = SLACK_NS + int(seen.stall.duration_error_s * 1e9)
    if seen.began_ns + slack_ns < timeline.began_ns:
        return False
    run = seen.run
    if run is None or run.on_main_thread or run.began_ns >= timeline.began_ns:
        return True
    return run.fixture is not None and not run.fixture.over


def _excuse(stall: Stall, ignored: frozenset[Cause]) -> str:
    if stall.innocent:
        return "no line of the loop's code is to blame"
    return "its cause is ignored" if stall.cause in ignored else ""


def _outside(stall: Stall, ignored: frozenset[Cause]) -> tuple[Verdict, str]:
    excuse = _excuse(stall, ignored)
    return (Verdict.INNOCENT, excuse) if excuse else (Verdict.ELSEWHERE, "outside any test, or on a loop of none")

"""When what happened: the phases of the test that runs, and the fixtures of all that live.

Times are of CLOCK_MONOTONIC.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, field

END_OF_TIME_NS = 1 << 62


@dataclass(slots=True)
class Phase:
    """Of a test."""

    name: str  # "setup", "call", "teardown"
    began_ns: int
    ended_ns: int = END_OF_TIME_NS


@dataclass(slots=True, eq=False)
class LiveFixture:
    """From the beginning of its set-up to the end of its teardown."""

    argname: str
    began_ns: int = 0
    ready_ns: int = END_OF_TIME_NS
    teardown_ns: int = END_OF_TIME_NS
    over_ns: int = END_OF_TIME_NS

    @property
    def name(self) -> str:
        """`setup_module` for the fixture that pytest makes of it."""
        for prefix in ("_xunit_", "_unittest_"):
            if self.argname.startswith(prefix):
                return self.argname.removeprefix(prefix).partition("_fixture")[0]
        return self.argname

    @property
    def over(self) -> bool:
        return self.over_ns != END_OF_TIME_NS

    def begin_teardown(self) -> None:
        self.teardown_ns = time.monotonic_ns()

    def step_at(self, at_ns: int) -> tuple[str, int] | None:
        """Which step of it was at a time, and since when."""
        if self.began_ns <= at_ns < self.ready_ns:
            return "setup", self.began_ns
        if self.teardown_ns <= at_ns < self.over_ns:
            return "teardown", self.teardown_ns
        return None


@dataclass(slots=True)
class Timeline:
    """Of one test. `live` are the fixtures that are set up, `over` those that were torn down during it."""

    test: str
    began_ns: int
    live: Collection[LiveFixture] = ()
    over: list[LiveFixture] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)

    def phase_at(self, at_ns: int) -> str:
        """The phase of a time; the last one for a time in none."""
        around = (phase for phase in self.phases if phase.began_ns <= at_ns < phase.ended_ns)
        return next(around, self.phases[-1]).name

    def fixture_at(self, at_ns: int) -> tuple[str, str] | None:
        """Step and name of the innermost: a fixture may ask for another while it is set up."""
        steps = [(fixture.step_at(at_ns), fixture) for fixture in (*self.live, *self.over)]
        around = [(step[1], step[0], fixture.name) for step, fixture in steps if step is not None]
        return max(around)[1:] if around else None

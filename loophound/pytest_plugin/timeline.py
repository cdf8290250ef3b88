"""When what happened: the phases of the test that runs, and the fixtures of all that live."""

from __future__ import annotations

from dataclasses import dataclass, field

END_OF_TIME_NS = 1 << 62


@dataclass(slots=True)
class Step:
    """A phase of a test, or the set-up or teardown of a fixture. Times are of CLOCK_MONOTONIC."""

    name: str  # "setup", "call", "teardown"
    began_ns: int
    ended_ns: int = END_OF_TIME_NS
    fixture: str = ""

    def has(self, at_ns: int) -> bool:
        return self.began_ns <= at_ns < self.ended_ns


@dataclass(slots=True, eq=False)
class LiveFixture:
    """From the beginning of its set-up to the end of its teardown."""

    name: str
    over: bool = False


@dataclass(slots=True)
class Timeline:
    """Of one test: `fixtures` are the steps of fixtures during its phases."""

    test: str
    began_ns: int
    phases: list[Step] = field(default_factory=list)
    fixtures: list[Step] = field(default_factory=list)

    def phase_at(self, at_ns: int) -> Step:
        """The phase of a time; the last one for a time in none."""
        return next((phase for phase in self.phases if phase.has(at_ns)), self.phases[-1])

    def fixture_at(self, at_ns: int) -> Step | None:
        """The innermost: a fixture may ask for another while it is set up."""
        around = [step for step in self.fixtures if step.has(at_ns)]
        return max(around, key=lambda step: step.began_ns, default=None)

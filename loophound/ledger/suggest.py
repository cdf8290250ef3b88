"""What to offload, by what it would have freed: from groups of stalls, without a file or a clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from loophound.detector.records import Place, StackFrame
from loophound.ledger.groups import Group
from loophound.marks import executor_for

ORDER = {"process": 0, "thread": 1}  # what computes at times needs a process at all times


@dataclass(slots=True)
class Candidate:
    """A function that held the loop, and the executor on which it would not have."""

    culprit: Place  # as it stood in the latest of its stalls
    executor: str
    count: int = 0
    freed_s: float = 0.0  # for so long the loop would have turned
    worst_s: float = 0.0
    victims: int = 0
    causes: list[str] = field(default_factory=list)
    fingerprints: list[str] = field(default_factory=list)
    requests: Counter[str] = field(default_factory=Counter)

    def add(self, group: Group, executor: str) -> None:
        """Count the stalls of one more cause."""
        self.executor = min(self.executor, executor, key=lambda name: ORDER[name])
        self.count += group.count
        self.freed_s += group.total_s
        self.worst_s = max(self.worst_s, group.worst_s)
        self.victims += group.victims
        self.causes.append(group.cause.value)
        self.fingerprints.append(group.fingerprint)
        self.requests.update(group.requests)


def candidates(groups: Iterable[Group]) -> list[Candidate]:
    """Functions to mark, the one that would have freed most first. Stalls that no executor helps are left out."""
    found: dict[tuple[str, str], Candidate] = {}
    for group in groups:
        latest = group.latest
        executor = executor_for(group.cause, latest.evidence.gil_held)
        if executor is None or latest.culprit is None:
            continue
        culprit = _function_around(latest.culprit, latest.stack)
        key = (culprit.file, culprit.function)
        found.setdefault(key, Candidate(culprit, executor)).add(group, executor)
    return sorted(found.values(), key=lambda candidate: -candidate.freed_s)


def _function_around(culprit: Place, stack: Sequence[StackFrame]) -> Place:
    """For a comprehension or a lambda, the function that has it: `stack` runs outermost first."""
    if not culprit.function.startswith("<"):
        return culprit
    for frame in reversed(stack):
        if frame.file == culprit.file and frame.line <= culprit.line and "<" not in frame.function:
            return Place(frame.file, culprit.line, frame.function, culprit.code)
    return culprit

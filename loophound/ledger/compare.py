"""Two runs side by side: which groups are new, gone, worse or better."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from loophound.ledger.groups import Group

# Two runs of the same program differ by some percent, and a time is right to some milliseconds.
NOTABLE_SHARE = 0.2
NOTABLE_S = 0.01


class Verdict(StrEnum):
    """What became of a group, from the earlier run to the later; in the order in which it is told."""

    NEW = "new"
    WORSE = "worse"
    SAME = "same"
    BETTER = "better"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Change:
    """One group in both runs; one of the two is None where it is new or gone."""

    verdict: Verdict
    before: Group | None
    now: Group | None

    @property
    def group(self) -> Group:
        """The later of the two."""
        group = self.now or self.before
        assert group is not None
        return group

    @property
    def grown_s(self) -> float:
        """By how many seconds the time that it held the loop has grown."""
        return (self.now.total_s if self.now else 0.0) - (self.before.total_s if self.before else 0.0)


def compare(now: Iterable[Group], before: Iterable[Group]) -> list[Change]:
    """The changes, new ones first, in each verdict the largest first.

    The time that a group held the loop decides: twice the stalls of half the length are no change.
    """
    later = {group.fingerprint: group for group in now}
    earlier = {group.fingerprint: group for group in before}
    changes = [_change(earlier.get(name), later.get(name)) for name in {**later, **earlier}]
    order = list(Verdict)
    return sorted(changes, key=lambda change: (order.index(change.verdict), -abs(change.grown_s)))


def _change(before: Group | None, now: Group | None) -> Change:
    if before is None or now is None:
        return Change(Verdict.NEW if before is None else Verdict.GONE, before, now)
    grown_s = now.total_s - before.total_s
    if abs(grown_s) <= max(NOTABLE_S, NOTABLE_SHARE * before.total_s):
        return Change(Verdict.SAME, before, now)
    return Change(Verdict.WORSE if grown_s > 0 else Verdict.BETTER, before, now)

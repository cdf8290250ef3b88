"""Which of many like stalls to tell of in full, and the sums of all, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum

from loophound.dashboards.account import subject
from loophound.detector.records import Stall

MOST_GROUPS = 200


class Telling(Enum):
    """How much to say of a stall."""

    FULL = "full"
    COUNTED = "counted"
    SILENT = "silent"


@dataclass(slots=True)
class Group:
    """Stalls of one fingerprint."""

    subject: str
    cause: str
    times: int = 0
    worst_s: float = 0.0
    total_s: float = 0.0

    def add(self, duration_s: float) -> None:
        self.times += 1
        self.worst_s = max(self.worst_s, duration_s)
        self.total_s += duration_s


class Repeats:
    """Groups stalls by fingerprint: the first is told in full, then the 2nd, 4th, 8th, … is counted.

    At most MOST_GROUPS are kept; beyond, the one seen longest ago moves into `others`, whose
    sums go on counting, so that no limit makes a total wrong.
    """

    def __init__(self, capacity: int = MOST_GROUPS) -> None:
        self._capacity = capacity
        self._groups: OrderedDict[str, Group] = OrderedDict()
        self.others = Group("others", "")

    def add(self, stall: Stall) -> tuple[Telling, Group]:
        """Count a stall that has ended, and say how to tell of it."""
        group = self._groups.setdefault(stall.fingerprint, Group(subject(stall), stall.cause.value))
        group.add(stall.duration_s)
        self._groups.move_to_end(stall.fingerprint)
        while len(self._groups) > self._capacity:
            self._fold(self._groups.popitem(last=False)[1])
        if group.times == 1:
            return Telling.FULL, group
        return (Telling.COUNTED if _is_power_of_two(group.times) else Telling.SILENT), group

    def announces(self, stall: Stall) -> bool:
        """Whether to announce a stall that still goes on: when its end will be told of."""
        group = self._groups.get(stall.fingerprint)
        return group is None or _is_power_of_two(group.times + 1)

    def groups(self) -> list[Group]:
        """All groups, the one that took most time first; the sum of the forgotten ones last."""
        known = sorted(self._groups.values(), key=lambda group: -group.total_s)
        return [*known, self.others] if self.others.times else known

    def _fold(self, group: Group) -> None:
        self.others.times += group.times
        self.others.total_s += group.total_s
        self.others.worst_s = max(self.others.worst_s, group.worst_s)


def _is_power_of_two(number: int) -> bool:
    return number & (number - 1) == 0

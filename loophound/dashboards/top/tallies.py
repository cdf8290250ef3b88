"""Sums: stalls by culprit and cause, flagged calls by call and caller."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from loophound.dashboards.account import subject
from loophound.dashboards.top.state import number, place_of, request_of
from loophound.dashboards.wording import place, safe
from loophound.detector.records import INNOCENT, Place, Request, StackFrame, Stall

MOST_RECORDS = 20  # that a culprit keeps: the latest
NOBODYS = frozenset({*(cause.value for cause in INNOCENT), "gc"})


@dataclass(slots=True)
class Culprit:
    """All stalls of one fingerprint. Moments are seconds of the reader's clock."""

    fingerprint: str
    cause: str
    place: Place | None
    count: int = 0
    total_s: float = 0.0
    worst_s: float = 0.0
    victims: int = 0
    first_s: float = math.inf
    last_s: float = -math.inf
    given: bool = False  # the sums began with those that the feed told
    records: list[Stall] = field(default_factory=list)  # the latest, oldest first

    @property
    def innocent(self) -> bool:
        """No line of the loop's own code is to blame."""
        return self.cause in NOBODYS

    @property
    def ongoing(self) -> bool:
        return any(record.ongoing for record in self.records)

    @property
    def where(self) -> str:
        if self.records:
            return subject(self.records[-1])
        return place(self.place) if self.place is not None else f"{safe(self.cause, 20)}, no line known"

    def add(self, stall: Stall, former: Stall | None, at_s: float, *, counted: bool) -> None:
        """Take a stall, or the end of one that was announced; `counted` when the sums have it already."""
        if former is not None:
            self.forget(former)
        self.records = [record for record in self.records if record.id != stall.id][1 - MOST_RECORDS :]
        self.records.append(stall)
        self.place = stall.culprit or self.place
        self.first_s, self.last_s = min(self.first_s, at_s), max(self.last_s, at_s)
        self.worst_s = max(self.worst_s, stall.duration_s)
        if not counted:
            self.count += 1
            self.total_s += stall.duration_s
            self.victims += stall.victims

    def forget(self, stall: Stall) -> None:
        """Take a stall out of the sums again."""
        self.records = [record for record in self.records if record.id != stall.id]
        self.count = max(0, self.count - 1)
        self.total_s = max(0.0, self.total_s - stall.duration_s)
        self.victims = max(0, self.victims - stall.victims)


@dataclass(slots=True)
class FlaggedCall:
    """Calls of one synchronous function at one line."""

    call: str
    caller: Place | None
    count: int = 0
    total_s: float = 0.0
    worst_s: float = 0.0
    last_s: float = -math.inf
    remedy: str = ""
    request: Request | None = None
    stack: tuple[StackFrame, ...] = ()

    def add(self, record: Mapping[str, Any], at_s: float) -> None:
        """Take a `loophound.call/1` record."""
        took_s = number(record.get("duration_s")) or 0.0
        stack = tuple(
            StackFrame(str(frame["file"]), int(frame["line"]), str(frame["function"]), bool(frame.get("app")))
            for frame in record.get("stack") or ()
        )
        self.count += 1
        self.total_s += took_s
        self.worst_s = max(self.worst_s, took_s)
        self.last_s = max(self.last_s, at_s)
        self.remedy = str(record.get("remedy") or "")
        self.caller = place_of(record.get("caller")) or self.caller
        self.request = request_of(record.get("request"))
        self.stack = stack

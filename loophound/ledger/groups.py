"""Stalls grouped by fingerprint: pure sums, without a clock, a file or a thread."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple, TypeAlias

from loophound.detector.records import Cause, StackFrame, Stall
from loophound.ledger.histogram import HALF_A_BUCKET, Histogram

MOST_RECORDS = 3  # that a group keeps in full: the latest
MOST_FRAMES = 128  # of a stack; a recursion loses its middle

Stack: TypeAlias = tuple[StackFrame, ...]


class Event(NamedTuple):
    """What is kept of every stall."""

    fingerprint: str
    at_s: float  # when it began, seconds since the epoch
    duration_s: float
    victims: int
    request: str | None  # "GET /show/{id}": the route where it is known, else the path
    stack: Stack


@dataclass(slots=True)
class Group:
    """All stalls of one fingerprint. Times are seconds, since the epoch where the name says `at`."""

    fingerprint: str
    cause: Cause
    first_at_s: float = math.inf
    last_at_s: float = -math.inf
    count: int = 0
    total_s: float = 0.0
    worst_s: float = 0.0
    victims: int = 0
    histogram: Histogram = field(default_factory=Histogram)
    stack_s: dict[Stack, float] = field(default_factory=dict)  # how long each stack held the loop
    requests: Counter[str] = field(default_factory=Counter)
    records: list[Stall] = field(default_factory=list)  # the latest, oldest first

    @property
    def latest(self) -> Stall:
        return self.records[-1]

    @property
    def mean_s(self) -> float:
        return self.total_s / self.count

    def percentile(self, share: float) -> float:
        """In seconds, right to 5 %."""
        middle_s = self.histogram.percentile(share)
        # In the last bucket the worst is known exactly, and for a group of one it is all.
        return self.worst_s if middle_s * HALF_A_BUCKET >= self.worst_s else middle_s

    def see(self, at_s: float) -> None:
        """Note when one began, whether or not it is counted."""
        self.first_at_s = min(self.first_at_s, at_s)
        self.last_at_s = max(self.last_at_s, at_s)

    def add(self, event: Event) -> None:
        """Count one stall."""
        self.see(event.at_s)
        self.count += 1
        self.total_s += event.duration_s
        self.worst_s = max(self.worst_s, event.duration_s)
        self.victims += event.victims
        self.histogram.add(event.duration_s)
        self.locate(event)

    def locate(self, event: Event) -> None:
        """Note of a stall that is counted already on which stack and for whom it was."""
        self.stack_s[event.stack] = self.stack_s.get(event.stack, 0.0) + event.duration_s
        if event.request is not None:
            self.requests[event.request] += 1

    def keep(self, stall: Stall) -> None:
        """Keep the record, if it is among the latest."""
        self.records.append(stall)
        self.records.sort(key=at_s)
        del self.records[:-MOST_RECORDS]

    def merge(self, other: Group) -> None:
        """Add another group of the same fingerprint."""
        self.first_at_s = min(self.first_at_s, other.first_at_s)
        self.last_at_s = max(self.last_at_s, other.last_at_s)
        self.count += other.count
        self.total_s += other.total_s
        self.worst_s = max(self.worst_s, other.worst_s)
        self.victims += other.victims
        self.histogram.merge(other.histogram)
        for stack, seconds in other.stack_s.items():
            self.stack_s[stack] = self.stack_s.get(stack, 0.0) + seconds
        self.requests.update(other.requests)
        for record in other.records:
            self.keep(record)


class Groups:
    """Groups by fingerprint. Stalls before `since_s` (seconds since the epoch) are seen, not counted."""

    def __init__(self, since_s: float = -math.inf) -> None:
        self.since_s = since_s
        self._groups: dict[str, Group] = {}

    def __iter__(self) -> Iterator[Group]:
        """Those of which something is counted and a record is there."""
        return (group for group in self._groups.values() if group.count and group.records)

    def all(self) -> Iterator[Group]:
        """Those as well of which nothing is counted."""
        return iter(self._groups.values())

    def group(self, fingerprint: str, cause: Cause) -> Group:
        """The group of this name, made where it is new."""
        return self._groups.setdefault(fingerprint, Group(fingerprint, cause))

    def add(self, stall: Stall) -> None:
        """Count a stall and keep its record. Raises ValueError for a time that is none."""
        event = event_of(stall)
        group = self.group(stall.fingerprint, stall.cause)
        group.see(event.at_s)
        if event.at_s >= self.since_s:
            group.add(event)
            group.keep(stall)


def event_of(stall: Stall) -> Event:
    """What is kept of this stall. Raises ValueError when its `at` is no time."""
    asked = stall.request
    request = f"{asked.method} {asked.route or asked.path}"[:200] if asked is not None else None
    return Event(stall.fingerprint, at_s(stall), stall.duration_s, stall.victims, request, cut(stall.stack))


def at_s(stall: Stall) -> float:
    """When the stall began, in seconds since the epoch. Raises ValueError."""
    return datetime.fromisoformat(stall.at).timestamp()


def cut(stack: Stack) -> Stack:
    """At most MOST_FRAMES of a stack: both ends."""
    half = MOST_FRAMES // 2
    return stack if len(stack) <= MOST_FRAMES else stack[:half] + stack[-half:]


def slim(stall: Stall) -> Stall:
    """The record with its stack cut."""
    return stall if len(stall.stack) <= MOST_FRAMES else replace(stall, stack=cut(stall.stack))

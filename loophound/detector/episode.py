"""Everything that was seen from one beat of a loop to the next, in bounded memory."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import NamedTuple

from loophound.detector.facts import Accounted, Collected, Sampled

# Enough for 10 s of full-rate samples; beyond that every second one goes, which keeps
# their weights right because a sample stands for the time to its neighbours.
MOST_SAMPLES = 1024
MOST_ACCOUNTS = 256
MOST_GAPS = 256
MOST_COLLECTIONS = 256
# libuv keeps the time in milliseconds; asyncio has it exactly.
TURN_ERROR_NS = 1_000_000


class Span(NamedTuple):
    """A stretch of time."""

    began_ns: int
    ended_ns: int

    @property
    def length_ns(self) -> int:
        return max(0, self.ended_ns - self.began_ns)

    def overlap_ns(self, other: Span) -> int:
        return max(0, min(self.ended_ns, other.ended_ns) - max(self.began_ns, other.began_ns))


@dataclass(slots=True)
class Episode:
    """One silence of the loop: it spoke at `beat_ns`, and was next due at `due_ns`."""

    beat_ns: int
    due_ns: int
    cpu_ns: int | None = None  # of the loop's thread, at the last beat; not known from outside
    process_cpu_ns: int | None = None
    ended_ns: int | None = None
    ended_cpu_ns: int | None = None
    ended_process_cpu_ns: int | None = None
    samples: list[Sampled] = field(default_factory=list)
    unseen: list[Span] = field(default_factory=list)  # when the watchdog could not look, and not for want of a CPU
    unasked_ns: int = 0  # when it was due, the watchdog waited for a CPU and nobody asked
    collections: list[Collected] = field(default_factory=list)
    accounts: list[Accounted] = field(default_factory=list)
    announced: bool = False
    slept: bool = False  # the machine was suspended meanwhile, or just before
    asked_ns: int | None = None  # when the loop was asked and did not answer
    _turned_ns: int | None = None
    interruptions: dict[Hashable, str] = field(default_factory=dict)  # by unit of work: how, or that it failed

    @property
    def turned_ns(self) -> int | None:
        """When the loop began the turn that it did not end: by its own clock, where a sample has it.

        A turn after the loop was to answer is another one, or a clock that the program had look again meanwhile.
        """
        latest_ns = max(self.due_ns, self.asked_ns or 0) + self.unasked_ns
        turned_ns = self._turned_ns
        return turned_ns if turned_ns is not None and turned_ns <= latest_ns + TURN_ERROR_NS else None

    @property
    def began_ns(self) -> int:
        """When the loop's turn began; where that is not known the best guess, between the last beat and the
        moment when the next was due. Of a time in which nobody asked nothing is known, so it is not counted.
        """
        turned_ns = self.turned_ns
        return (self.beat_ns + self.due_ns) // 2 + self.unasked_ns if turned_ns is None else turned_ns

    @property
    def error_ns(self) -> int:
        return (self.due_ns - self.beat_ns) // 2 if self.turned_ns is None else TURN_ERROR_NS

    def add_sample(self, sample: Sampled) -> None:
        self.samples.append(sample)
        turned_ns = sample.turned_ns
        # Of a loop that rests the clock shows an earlier turn.
        if turned_ns is not None and not sample.idle and self.beat_ns - TURN_ERROR_NS <= turned_ns <= sample.at_ns:
            turned_ns = max(turned_ns, self.beat_ns)
            self._turned_ns = turned_ns if self._turned_ns is None else min(self._turned_ns, turned_ns)
        if len(self.samples) > MOST_SAMPLES:
            del self.samples[1:-1:2]

    def add_account(self, account: Accounted) -> None:
        self.accounts.append(account)
        if len(self.accounts) > MOST_ACCOUNTS:
            del self.accounts[1:-1:2]

    def add_unseen(self, span: Span) -> None:
        self.unseen.append(span)
        if len(self.unseen) > MOST_GAPS:
            self.unseen.remove(min(self.unseen, key=lambda s: s.length_ns))

    def add_collection(self, collection: Collected) -> None:
        self.collections.append(collection)
        if len(self.collections) > MOST_COLLECTIONS:
            self.collections.remove(min(self.collections, key=lambda c: c.ended_ns - c.began_ns))

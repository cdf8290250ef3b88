"""The policy of a supervisor: facts in, commands out, without a clock, a process or a signal.

                      ready                 its successor is ready
    STARTING ───────────────────► READY ───────────────────────────► LEAVING ──► gone
        │                          │ ▲ its loop                         │ past its time
        │                hung ▼    │ │ turns again                      ▼
        │                         HUNG ─── its successor is ready ──► KILLED ──► gone
        └── ends before it is ready: the start has failed

Each worker has a number and at most two processes: the one that serves (or starts), and
its successor, which starts. A process ends only when its successor serves, unless it goes
by itself.
"""

from __future__ import annotations

import logging
import math
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from loophound.supervisor.facts import (
    AskedToLeave,
    BecameReady,
    Command,
    Dismiss,
    Ended,
    Fact,
    Finish,
    Hung,
    Kill,
    Order,
    Ordered,
    Say,
    Spawn,
    Spawned,
    Ticked,
    TurnedAgain,
    Urgency,
)

# What a worker gets on top of its own grace, to cancel requests and to run its application's shutdown.
UNWIND_S = 3.0
# A stop at once: the worker cancels, and leaves.
HURRY_S = 1.5
# A process that served so long was well: its end starts no series of failures.
SETTLED_S = 10.0
FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 30.0
# Starts that fail in a row, with no worker that serves, for reasons that might pass.
MOST_FAILED_STARTS = 5
USAGE_CODE, NEVER_CODE = 2, 3  # docs/exit-codes.md: a start that will fail each time


class Phase(Enum):
    """What a process of a worker is in."""

    STARTING = auto()
    READY = auto()
    HUNG = auto()
    LEAVING = auto()
    KILLED = auto()


SERVING = frozenset({Phase.READY, Phase.HUNG})


@dataclass(frozen=True, slots=True)
class Plan:
    """What the operator wants."""

    grace_s: float | None = 30.0  # None: for ever
    delay_s: float = 0.0  # which a worker serves on when it is stopped
    waits_for_change: bool = False  # reload: what cannot start is tried again when a file changes
    hurried: bool = False  # reload: the first stop is the last
    most: int = 512


@dataclass(slots=True)
class Process:
    worker: int
    pid: int
    phase: Phase
    since_s: float
    deadline_s: float = math.inf  # after it, it is killed


@dataclass(slots=True)
class Post:
    """One worker: who serves as it, who is to, and how often that failed of late."""

    worker: int
    holder: Process | None = None
    heir: Process | None = None
    failures: int = 0
    not_before_s: float = 0.0


@dataclass(slots=True)
class Fleet:
    """All workers. `feed()` a fact, and carry out what it orders, in order."""

    plan: Plan
    size: int
    posts: dict[int, Post] = field(default_factory=dict)
    processes: dict[int, Process] = field(default_factory=dict)
    renewals: dict[int, str] = field(default_factory=dict)  # workers to replace one by one, and why
    stops: int = 0
    failed_starts: int = 0
    outcome: Finish = field(default_factory=lambda: Finish(0))
    finished: bool = False

    def __post_init__(self) -> None:
        self.posts = {number: Post(number) for number in range(1, self.size + 1)}

    def feed(self, fact: Fact) -> list[Command]:
        match fact:
            case Ordered(order, at_s):
                found = self._ordered(order, at_s)
            case Spawned():
                found = self._spawned(fact)
            case BecameReady(pid, at_s):
                found = self._ready(pid, at_s)
            case AskedToLeave(pid, why):
                found = self._asked(pid, why)
            case Hung(pid, at_s):
                found = self._hung(pid, at_s)
            case TurnedAgain(pid, at_s):
                found = self._turned(pid)
            case Ended():
                found = self._ended(fact)
            case Ticked(at_s):
                found = self._overdue(at_s)
        return [*found, *self._reconcile(fact.at_s)]

    def next_s(self) -> float:
        """When a Ticked will have something to order; infinity when only other facts will."""
        backoffs = (
            post.not_before_s
            for post in self.posts.values()
            if not self.stops and post.heir is None and (post.holder is None or post.worker in self.renewals)
        )
        return min([process.deadline_s for process in self.processes.values()] + list(backoffs), default=math.inf)

    @property
    def serving(self) -> bool:
        """Whether a worker serves whose loop turns."""
        return any(process.phase is Phase.READY for process in self.processes.values())

    @property
    def renewing(self) -> bool:
        """Whether a worker is being replaced, or waits for it."""
        return bool(self.renewals) or any(post.heir is not None for post in self.posts.values())

    # -- what is to be

    def _reconcile(self, at_s: float) -> Iterator[Command]:
        if self.stops:
            if not self.processes and not self.finished:
                self.finished = True
                yield self.outcome
            return
        for post in self.posts.values():
            if post.holder is None and post.heir is None and at_s >= post.not_before_s:
                post.not_before_s = math.inf  # until Spawned comes
                self.renewals.pop(post.worker, None)
                yield Spawn(post.worker)
        renewing = any(post.heir is not None and not _is_hung(post.holder) for post in self.posts.values())
        while self.renewals and not renewing:
            worker, why = next(iter(self.renewals.items()))
            post = self.posts[worker]
            if post.holder is None or post.holder.phase not in SERVING or post.heir is not None:
                del self.renewals[worker]
                continue
            if at_s < post.not_before_s:
                return  # its last successor could not start, or is being started
            del self.renewals[worker]
            renewing = True
            post.not_before_s = math.inf
            yield Say(logging.INFO, f"Replacing worker {worker} (pid {post.holder.pid}): {why}")
            yield Spawn(worker)

    # -- facts

    def _ordered(self, order: Order, at_s: float) -> Iterator[Command]:
        match order:
            case Order.STOP:
                yield from self._stop(at_s)
            case _ if self.stops:
                return
            case Order.REPLACE:
                yield from self._replace_all(at_s)
            case Order.MORE if len(self.posts) < self.plan.most:
                number = max(self.posts) + 1
                self.posts[number] = Post(number)
                yield Say(logging.INFO, f"{len(self.posts)} workers: one more")
            case Order.FEWER if len(self.posts) > 1:
                post = self.posts.pop(max(self.posts))
                self.renewals.pop(post.worker, None)
                yield Say(logging.INFO, f"{len(self.posts)} workers: one fewer")
                for process in (post.holder, post.heir):
                    if process is not None:
                        yield self._retire(process, at_s)
            case _:
                yield Say(logging.INFO, f"{len(self.posts)} workers it stays")

    def _stop(self, at_s: float) -> Iterator[Command]:
        self.stops += 2 if self.plan.hurried else 1
        self.renewals.clear()
        for process in self.processes.values():
            if self.stops == 1 and process.phase in (Phase.READY, Phase.LEAVING):
                process.phase = Phase.LEAVING
                process.deadline_s = min(process.deadline_s, at_s + self._leave_s(self.plan.delay_s))
                yield Dismiss(process.pid, Urgency.STOP)
            elif self.stops <= 2 and process.phase not in (Phase.HUNG, Phase.KILLED):
                process.phase = Phase.LEAVING
                process.deadline_s = min(process.deadline_s, at_s + HURRY_S)
                yield Dismiss(process.pid, Urgency.AT_ONCE)
            else:
                yield self._kill(process)

    def _replace_all(self, at_s: float) -> Iterator[Command]:
        self.failed_starts = 0
        for post in self.posts.values():
            post.failures = 0
            if post.not_before_s != math.inf or self.plan.waits_for_change:
                post.not_before_s = at_s
            # Whoever starts just now may have read the old files: it starts again.
            if post.heir is not None:
                yield self._kill(post.heir)
                post.heir = None
            if post.holder is not None and post.holder.phase is Phase.STARTING:
                yield self._kill(post.holder)
                post.holder = None
        self.renewals = {post.worker: "asked to" for post in self.posts.values() if post.holder is not None}

    def _spawned(self, fact: Spawned) -> Iterator[Command]:
        process = Process(fact.worker, fact.pid, Phase.STARTING, fact.at_s)
        self.processes[fact.pid] = process
        post = self.posts.get(fact.worker)
        if post is None or self.stops:
            yield self._kill(process)
            return
        post.not_before_s = fact.at_s
        if post.holder is None:
            post.holder = process
        else:
            post.heir = process

    def _ready(self, pid: int, at_s: float) -> Iterator[Command]:
        process = self.processes.get(pid)
        if process is None or process.phase is not Phase.STARTING:
            return
        process.phase, process.since_s = Phase.READY, at_s
        self.failed_starts = 0
        post = self.posts[process.worker]
        if post.heir is process:
            former, post.holder, post.heir = post.holder, process, None
            if former is not None:
                yield self._kill(former) if former.phase is Phase.HUNG else self._retire(former, at_s)
        yield Say(logging.INFO, f"Worker {process.worker} serves (pid {pid})")

    def _asked(self, pid: int, why: str) -> Iterator[Command]:
        process = self.processes.get(pid)
        if process is not None and process.phase is Phase.READY and not self.stops:
            self.renewals.setdefault(process.worker, why)
        yield from ()

    def _hung(self, pid: int, at_s: float) -> Iterator[Command]:
        process = self.processes.get(pid)
        if process is not None and process.phase is Phase.STARTING:
            yield Kill(pid)  # its end is that of a start that failed
        if process is None or process.phase is not Phase.READY:
            return
        process.phase = Phase.HUNG
        post = self.posts.get(process.worker)
        if post is not None and post.holder is process and post.heir is None and post.not_before_s != math.inf:
            self.renewals.pop(process.worker, None)
            post.not_before_s = math.inf
            yield Say(logging.WARNING, f"Replacing worker {process.worker} (pid {pid}): its event loop hangs")
            yield Spawn(process.worker)

    def _turned(self, pid: int) -> Iterator[Command]:
        process = self.processes.get(pid)
        if process is not None and process.phase is Phase.HUNG:
            process.phase = Phase.READY  # its successor comes all the same, but it may end in peace
            yield Say(logging.WARNING, f"Worker {process.worker} (pid {pid}) turns again; it is replaced gracefully")

    def _ended(self, fact: Ended) -> Iterator[Command]:
        process = self.processes.pop(fact.pid, None)
        if process is None:
            return
        post = self.posts.get(process.worker)
        if post is not None and post.holder is process:
            post.holder, post.heir = post.heir, None
        elif post is not None and post.heir is process:
            post.heir = None
        else:
            post = None  # its successor has taken over, or the worker is no more
        how = how_ended(fact.code)
        if process.phase in (Phase.LEAVING, Phase.KILLED):
            level = logging.DEBUG if fact.code == 0 or process.phase is Phase.KILLED else logging.WARNING
            yield Say(level, f"Worker {process.worker} (pid {fact.pid}) has left: it {how}")
        elif self.stops == 0:
            if process.phase is Phase.STARTING:
                yield from self._start_failed(process, fact, post)
            else:
                yield Say(logging.ERROR, f"Worker {process.worker} (pid {fact.pid}) {how}")
                self._back_off(post, fact.at_s, fact.at_s - process.since_s)

    def _start_failed(self, process: Process, fact: Ended, post: Post | None) -> Iterator[Command]:
        problem = fact.problem or f"it {how_ended(fact.code)} before it was ready"
        self.failed_starts += 1
        serving = any(other.phase in SERVING for other in self.processes.values())
        if self.plan.waits_for_change:
            kept = "; the one before it serves on" if serving else ""
            yield Say(logging.ERROR, f"The application cannot start: {problem}")
            yield Say(logging.WARNING, f"Waiting for a change of its files{kept}")
            if post is not None:
                post.not_before_s = math.inf
            self.renewals.clear()
        elif not serving and (fact.code in (USAGE_CODE, NEVER_CODE) or self.failed_starts >= MOST_FAILED_STARTS):
            self.outcome = Finish(fact.code if fact.code == USAGE_CODE else NEVER_CODE, problem)
            self.stops = 2
            for other in self.processes.values():
                yield self._kill(other)
        else:
            yield Say(logging.ERROR, f"Worker {process.worker} (pid {fact.pid}) could not start: {problem}")
            if post is not None and post.holder is not None and post.holder.phase is Phase.READY:
                self.renewals.clear()
                yield Say(logging.ERROR, "No worker is replaced: those that there are serve on")
            self._back_off(post, fact.at_s, 0.0)
            if post is not None and _is_hung(post.holder):
                self.renewals[post.worker] = "its event loop hangs"

    def _back_off(self, post: Post | None, at_s: float, lived_s: float) -> None:
        if post is None:
            return
        post.failures = 1 if lived_s >= SETTLED_S else post.failures + 1
        if post.holder is None or _is_hung(post.holder):
            wait_s = 0.0 if post.failures == 1 else FIRST_BACKOFF_S * 2.0 ** min(post.failures - 2, 10)
            post.not_before_s = at_s + min(wait_s, LONGEST_BACKOFF_S)

    def _overdue(self, at_s: float) -> Iterator[Command]:
        for process in self.processes.values():
            if at_s >= process.deadline_s:
                yield Say(logging.WARNING, f"Worker {process.worker} (pid {process.pid}) did not end in time: killed")
                yield self._kill(process)

    # -- how to go

    def _leave_s(self, delay_s: float = 0.0) -> float:
        return math.inf if self.plan.grace_s is None else delay_s + self.plan.grace_s + UNWIND_S

    def _retire(self, process: Process, at_s: float) -> Command:
        if process.phase is Phase.STARTING:
            return self._kill(process)
        process.phase = Phase.LEAVING
        process.deadline_s = at_s + self._leave_s()
        return Dismiss(process.pid, Urgency.RETIRE)

    def _kill(self, process: Process) -> Command:
        process.phase, process.deadline_s = Phase.KILLED, math.inf
        return Kill(process.pid)


def _is_hung(process: Process | None) -> bool:
    return process is not None and process.phase is Phase.HUNG


def how_ended(code: int) -> str:
    """An exit code of subprocess.Popen in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"

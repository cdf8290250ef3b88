"""What the dashboard knows of each worker and loop: the feed's latest word, and a little memory.

Times that end in `_s` and name a moment are seconds of the reader's own clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from loophound.dashboards.top.timeline import Timeline
from loophound.detector.records import Place, Request

MOST_LOOPS = 32  # of a process; the observer watches no more


class LoopState(StrEnum):
    """How a loop does just now."""

    OK = "ok"
    BUSY = "busy"
    BLOCKED = "blocked"
    STARVED = "starved"
    STOPPED = "stopped"
    GONE = "gone"
    UNKNOWN = "unknown"

    @classmethod
    def read(cls, word: object) -> LoopState:
        """States of later versions are UNKNOWN."""
        try:
            return cls(str(word))
        except ValueError:
            return cls.UNKNOWN

    @property
    def is_trouble(self) -> bool:
        return self in (LoopState.BLOCKED, LoopState.STARVED, LoopState.STOPPED)


@dataclass(slots=True)
class LoopFigures:
    """One event loop. Between two words of the feed the clock goes on: see `lasting_s`."""

    worker: int
    pid: int
    thread: str
    kind: str = ""
    state: LoopState = LoopState.UNKNOWN
    lag_s: float = 0.0
    line: Place | None = None
    holder: Place | None = None  # where another thread is, which keeps this one from running
    request: Request | None = None
    lags: Timeline = field(default_factory=Timeline)
    busy: Timeline = field(default_factory=Timeline)
    p50_s: float | None = None
    p99_s: float | None = None
    max_s: float | None = None
    utilisation: float | None = None
    told_for_s: float = 0.0  # how long the state had lasted …
    told_at_s: float = 0.0  # … when it was told

    def lasting_s(self, now_s: float) -> float:
        """How long the loop has been in its state."""
        return self.told_for_s + max(0.0, now_s - self.told_at_s)

    def lag_now_s(self, now_s: float) -> float:
        """How late the loop is; while it answers nobody, the time that it has not."""
        return max(self.lag_s, self.lasting_s(now_s)) if self.state.is_trouble else self.lag_s

    def tell(self, message: Mapping[str, Any], now_s: float) -> None:
        """Take a `state` message."""
        self.state = LoopState.read(message.get("state"))
        self.kind = str(message.get("loop") or self.kind)
        self.told_for_s, self.told_at_s = number(message.get("for_s")) or 0.0, now_s
        self.lag_s = number(message.get("lag_s")) or 0.0
        self.line = place_of(message.get("line"))
        self.holder = place_of(message.get("other_thread"))
        self.request = request_of(message.get("request"))
        self.lags.note(now_s, self.lag_now_s(now_s))

    def measure(self, snapshot: Mapping[str, Any], now_s: float) -> None:
        """Take this loop's part of a `snapshot` message."""
        self.kind = str(snapshot.get("loop") or self.kind)
        self.p50_s, self.p99_s, self.max_s = (number(snapshot.get(f"lag_{key}_s")) for key in ("p50", "p99", "max"))
        recent = number(snapshot.get("recent_utilisation"))  # of the last second; the other is since the beginning
        self.utilisation = number(snapshot.get("utilisation")) if recent is None else recent
        if self.utilisation is not None:
            self.busy.note(now_s, self.utilisation)


@dataclass(frozen=True, slots=True)
class Requests:
    """The requests of one worker, or of all."""

    total: int = 0
    per_s: float = 0.0
    in_flight: int = 0
    p50_s: float | None = None
    p99_s: float | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """A route, over all workers: counts are sums, times the worst of any worker's."""

    route: str
    count: int
    p50_s: float | None
    p99_s: float | None
    max_s: float | None
    held_s: float
    stalls: int


@dataclass(frozen=True, slots=True)
class TaskLine:
    """A task as it was at the last snapshot."""

    worker: int
    name: str
    coro: str
    state: str
    age_s: float | None
    where: str


@dataclass(frozen=True, slots=True)
class Executor:
    """What one executor of one worker does."""

    worker: int
    name: str
    kind: str
    queued: int
    running: int
    rejected: int
    calls: int | None  # not of executors that are not ours, nor their times
    wait_p50_s: float | None
    wait_p99_s: float | None
    wait_max_s: float | None
    run_p50_s: float | None
    run_p99_s: float | None
    run_max_s: float | None


@dataclass(slots=True)
class Worker:
    """One process that serves, or runs a program."""

    number: int
    pid: int = 0
    state: str = "starting"
    why: str | None = None
    since_s: float = 0.0  # when it came into this state
    uptime_s: float = 0.0
    uptime_at_s: float = 0.0
    former_pid: int | None = None  # whom it replaced …
    former_why: str | None = None  # … and what became of that one
    requests: Requests | None = None
    routes: tuple[Route, ...] = ()
    tasks: int = 0
    task_lines: tuple[TaskLine, ...] = ()
    executors: tuple[Executor, ...] = ()
    dropped: int = 0
    loops: dict[str, LoopFigures] = field(default_factory=dict)

    @property
    def gone(self) -> bool:
        return self.state == "gone"

    def loop(self, thread: str) -> LoopFigures:
        """The loop of a thread. Those that have ended make room for others."""
        if thread not in self.loops:
            for other in [name for name, loop in self.loops.items() if loop.state is LoopState.GONE]:
                del self.loops[other]
            if len(self.loops) >= MOST_LOOPS:
                raise ValueError("more loops than there can be")
        return self.loops.setdefault(thread, LoopFigures(self.number, self.pid, thread))

    def become(self, state: str, why: str | None, now_s: float) -> None:
        """Take a `worker` message."""
        self.state, self.why, self.since_s = state, why, now_s
        if self.gone:
            self.requests, self.tasks, self.task_lines, self.executors = None, 0, (), ()
            for loop in self.loops.values():
                loop.state, loop.line, loop.holder, loop.request = LoopState.GONE, None, None, None
                loop.told_for_s, loop.told_at_s, loop.lag_s = 0.0, now_s, 0.0

    def measure(self, message: Mapping[str, Any], now_s: float) -> None:
        """Take a `snapshot` message."""
        self.uptime_s, self.uptime_at_s = number(message.get("uptime_s")) or 0.0, now_s
        for snapshot in message.get("loops") or ():
            self.loop(str(snapshot.get("thread") or "?")).measure(snapshot, now_s)
        self.requests = _requests(message.get("requests"))
        self.routes = tuple(_route(entry) for entry in message.get("routes") or ())
        tasks = message.get("tasks") or {}
        self.tasks = whole(tasks.get("total"))
        self.task_lines = tuple(_task(self.number, entry) for entry in tasks.get("shown") or ())
        self.executors = tuple(_executor(self.number, entry) for entry in message.get("executors") or ())
        self.dropped = sum(whole(count) for count in (message.get("dropped") or {}).values())


def number(value: object) -> float | None:
    """A figure of the feed; None for anything that is none."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def whole(value: object) -> int:
    return int(number(value) or 0)


def place_of(value: object) -> Place | None:
    if not isinstance(value, Mapping):
        return None
    code = value.get("code")
    return Place(str(value["file"]), int(value["line"]), str(value["function"]), None if code is None else str(code))


def request_of(value: object) -> Request | None:
    if not isinstance(value, Mapping):
        return None
    texts = {name: None if value.get(name) is None else str(value[name]) for name in ("id", "route", "client")}
    return Request(method=str(value.get("method") or ""), path=str(value.get("path") or ""), **texts)


def _requests(value: object) -> Requests | None:
    if not isinstance(value, Mapping):
        return None
    return Requests(
        whole(value.get("total")), number(value.get("per_s")) or 0.0, whole(value.get("in_flight")),
        number(value.get("p50_s")), number(value.get("p99_s")),
    )  # fmt: skip


def _route(entry: Mapping[str, Any]) -> Route:
    return Route(
        str(entry["route"]), whole(entry.get("count")), number(entry.get("p50_s")), number(entry.get("p99_s")),
        number(entry.get("max_s")), number(entry.get("held_s")) or 0.0, whole(entry.get("stalls")),
    )  # fmt: skip


def _task(worker: int, entry: Mapping[str, Any]) -> TaskLine:
    name, coro, state, where = (str(entry.get(key) or "") for key in ("name", "coro", "state", "where"))
    return TaskLine(worker, name, coro, state, number(entry.get("age_s")), where)


def _executor(worker: int, entry: Mapping[str, Any]) -> Executor:
    calls = entry.get("calls")
    return Executor(
        worker,
        str(entry.get("name") or ""),
        str(entry.get("kind") or ""),
        whole(entry.get("queued")),
        whole(entry.get("running")),
        whole(entry.get("rejected")),
        None if calls is None else whole(calls),
        **{f"{what}_{which}_s": number(entry.get(f"{what}_{which}_s")) for what, which in _TIMES},
    )


_TIMES = [(what, which) for what in ("wait", "run") for which in ("p50", "p99", "max")]

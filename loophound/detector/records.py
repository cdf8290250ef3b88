"""The public records: what a stall was, in one shape for files, faces and callbacks.

`to_dict()` gives the JSON shape, `from_dict()` reads it back. A field that is not known
is None, never guessed. Times are seconds, as each name says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from enum import StrEnum
from typing import Any, Self

STALL_SCHEMA = "loophound.stall/1"
CALL_SCHEMA = "loophound.call/1"
SNAPSHOT_SCHEMA = "loophound.snapshot/1"


class Cause(StrEnum):
    """Why the loop did not turn; a closed vocabulary."""

    SLEEP = "sleep"
    IO = "io"
    LOCK = "lock"
    CPU = "cpu"
    NATIVE = "native"
    GC = "gc"
    IMPORT = "import"
    CONTENTION = "contention"
    FLOOD = "flood"
    STARVED = "starved"
    SUSPENDED = "suspended"


# Causes for which no line of the loop's own code is to blame.
INNOCENT = frozenset({Cause.CONTENTION, Cause.FLOOD, Cause.STARVED, Cause.SUSPENDED})


@dataclass(frozen=True, slots=True)
class Place:
    """A line of code; `code` is its text, None where the source cannot be read."""

    file: str
    line: int
    function: str
    code: str | None = None


@dataclass(frozen=True, slots=True)
class StackFrame:
    """A frame of the stack; `app` is true for the user's own code."""

    file: str
    line: int
    function: str
    app: bool


@dataclass(frozen=True, slots=True)
class ProfileLine:
    """How much of the stall a line held, as a share from 0 to 1."""

    file: str
    line: int
    function: str
    share: float


@dataclass(frozen=True, slots=True)
class OtherThread:
    """The thread that kept the loop's thread from running."""

    name: str | None
    file: str
    line: int
    function: str


@dataclass(frozen=True, slots=True)
class Task:
    """The task that ran; `coro` is the qualified name of its coroutine."""

    name: str | None
    coro: str | None


@dataclass(frozen=True, slots=True)
class Request:
    """The request in which the loop was blocked; `route` where the framework notes one."""

    id: str | None
    method: str
    path: str
    route: str | None
    client: str | None


@dataclass(frozen=True, slots=True)
class Delay:
    """A request that waited for the stall to end. `delay_s` is None where it was found waiting only then:
    its head was still with the kernel, which does not tell since when.
    """

    method: str
    path: str
    delay_s: float | None


ENDED, FAILED = "ended", "failed"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the kernel and the interpreter said. Shares run from 0 to 1, times are seconds.

    `gil_held` tells whether a C call kept every other Python thread from running.
    """

    cpu_share: float | None = None
    syscall: str | None = None
    target: str | None = None
    runqueue_s: float | None = None
    gc_s: float | None = None
    captured_by: str | None = None  # "watchdog", "observer", or None when no sample was taken
    gil_held: bool | None = None
    gc_generation: int | None = None
    gc_collected: int | None = None
    # by --stall-limit: "signal", "exception", or FAILED; ENDED when the process ended in the stall
    interrupted: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """One stall of one event loop: the record `loophound.stall/1`."""

    id: str
    at: str  # when it began, ISO 8601 in UTC
    pid: int
    worker: int
    loop: str
    thread: str
    duration_s: float
    duration_error_s: float
    threshold_s: float
    ongoing: bool
    cause: Cause
    innocent: bool
    culprit: Place | None
    blocking: Place | None
    other_thread: OtherThread | None
    stack: tuple[StackFrame, ...]
    profile: tuple[ProfileLine, ...]
    samples: int
    task: Task | None
    request: Request | None
    evidence: Evidence
    victims: int
    fingerprint: str
    remedy: str | None
    delays: tuple[Delay, ...] = ()  # of the victims, the longest first; not of all where there are many

    def to_dict(self) -> dict[str, Any]:
        record = asdict(self)
        record["cause"] = self.cause.value
        record["stack"] = list(record["stack"])
        record["profile"] = list(record["profile"])
        record["delays"] = list(record["delays"])
        return {"schema": STALL_SCHEMA, **record}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Read a record back. Raises ValueError when it is of another schema, lacks a field or has
        a part of another shape.
        """
        values = _values(cls, STALL_SCHEMA, record)
        values["cause"] = Cause(values["cause"])
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockingCall:
    """One synchronous call within a request, on a loop's thread: the record `loophound.call/1`.

    Unlike a stall it tells what can hurt, before it does. `caller` is the application's own line,
    as the culprit of a stall is. `duration_s` is None where the call was refused before it happened, and
    where only its beginning can be seen.
    """

    id: str
    at: str  # when it began, ISO 8601 in UTC
    pid: int
    worker: int
    thread: str
    call: str  # the entry point: "time.sleep", "requests.get"
    cause: Cause  # what it would be called as a stall: sleep, io, lock, native or import
    caller: Place | None
    stack: tuple[StackFrame, ...]
    task: Task | None
    request: Request | None
    duration_s: float | None
    target: str | None  # what it was called on, where that says something: a path, "tcp 127.0.0.1:5432"
    fingerprint: str
    remedy: str | None

    def to_dict(self) -> dict[str, Any]:
        record = asdict(self)
        record["cause"] = self.cause.value
        record["stack"] = list(record["stack"])
        return {"schema": CALL_SCHEMA, **record}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Read a record back. Raises ValueError as Stall.from_dict() does."""
        values = _values(cls, CALL_SCHEMA, record)
        values["cause"] = Cause(values["cause"])
        return cls(**values)


_PARTS: dict[str, type[Any]] = {
    "culprit": Place, "blocking": Place, "caller": Place, "other_thread": OtherThread,
    "task": Task, "request": Request, "evidence": Evidence,
}  # fmt: skip
_LISTS: dict[str, type[Any]] = {"stack": StackFrame, "profile": ProfileLine, "delays": Delay}


def _values(kind: type[Any], schema: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a record of this kind, their parts read. Raises ValueError."""
    if record.get("schema") != schema:
        raise ValueError(f"expected schema {schema!r}, got {record.get('schema')!r}")
    try:
        # A field with a default was added since: records of before lack it.
        wanted = [f.name for f in fields(kind) if f.name in record or f.default is MISSING]
        values = {name: record[name] for name in wanted}
    except KeyError as missing:
        raise ValueError(f"the record lacks {missing}") from None
    for name in values.keys() & _PARTS.keys():
        values[name] = None if values[name] is None else _read(name, _PARTS[name], values[name])
    for name in values.keys() & _LISTS.keys():
        if not isinstance(values[name], (list, tuple)):
            raise ValueError(f"the record's {name} is no list")
        values[name] = tuple(_read(name, _LISTS[name], entry) for entry in values[name])
    return values


def _read(name: str, part: type[Any], values: Any) -> Any:
    if not isinstance(values, Mapping):
        raise ValueError(f"the record's {name} is no {part.__name__}")
    # Fields that a later version adds to a part are passed over.
    known = {entry.name: values[entry.name] for entry in fields(part) if entry.name in values}
    try:
        return part(**known)
    except TypeError as lacking:
        raise ValueError(f"the record's {name}: {lacking}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """How a loop has done since it was first watched: the figures that are kept when nothing stalls.

    Lag is the time from the question to the loop's answer; `utilisation` is the share of the
    time, from 0 to 1, in which the loop computed or stood in a call.
    """

    at: str  # ISO 8601, UTC
    pid: int
    loop: str
    thread: str
    watched_s: float
    beats: int
    lag_p50_s: float
    lag_p99_s: float
    lag_max_s: float
    utilisation: float

    def to_dict(self) -> dict[str, Any]:
        return {"schema": SNAPSHOT_SCHEMA, **asdict(self)}

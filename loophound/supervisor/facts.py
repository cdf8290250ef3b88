"""What the policy of a supervisor hears, and what it orders. Times are seconds of a clock that never goes back."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias


class Order(Enum):
    """What the operator asks for."""

    STOP = auto()  # TERM and INT; once more to stop at once
    REPLACE = auto()  # HUP, or a file has changed
    MORE = auto()  # TTIN
    FEWER = auto()  # TTOU


class Urgency(Enum):
    """How a worker is to leave."""

    RETIRE = auto()  # it gives its connections to the others, and ends with its last request
    STOP = auto()  # it closes idle connections, and ends within its grace
    AT_ONCE = auto()  # it cancels what runs


@dataclass(frozen=True, slots=True)
class Ordered:
    order: Order
    at_s: float


@dataclass(frozen=True, slots=True)
class Spawned:
    worker: int
    pid: int
    at_s: float


@dataclass(frozen=True, slots=True)
class BecameReady:
    pid: int
    at_s: float


@dataclass(frozen=True, slots=True)
class AskedToLeave:
    """A worker has done what its limits allow, or was asked to end by somebody else."""

    pid: int
    why: str
    at_s: float


@dataclass(frozen=True, slots=True)
class Hung:
    """Its loop has not turned for too long, and what it does has been written down."""

    pid: int
    at_s: float


@dataclass(frozen=True, slots=True)
class TurnedAgain:
    """The loop of a worker that was called hung has turned."""

    pid: int
    at_s: float


@dataclass(frozen=True, slots=True)
class Ended:
    """A process is gone: its exit code, or minus the signal that ended it; and what it said of a failed start."""

    pid: int
    code: int
    at_s: float
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Ticked:
    at_s: float


Fact: TypeAlias = Ordered | Spawned | BecameReady | AskedToLeave | Hung | TurnedAgain | Ended | Ticked


@dataclass(frozen=True, slots=True)
class Spawn:
    worker: int


@dataclass(frozen=True, slots=True)
class Dismiss:
    pid: int
    urgency: Urgency


@dataclass(frozen=True, slots=True)
class Kill:
    pid: int


@dataclass(frozen=True, slots=True)
class Say:
    level: int  # of the logging module
    text: str


@dataclass(frozen=True, slots=True)
class Finish:
    code: int
    problem: str = ""


Command: TypeAlias = Spawn | Dismiss | Kill | Say | Finish

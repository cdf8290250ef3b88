"""Facts, in the past tense: all that the core knows of the world.

Times are nanoseconds of CLOCK_MONOTONIC, which is one clock for all processes; CPU times
are nanoseconds of the loop's thread unless a name says otherwise.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from loophound.detector.frames import CodeFrame
from loophound.detector.records import Request, Task


class Source(StrEnum):
    """Who took a sample: a thread inside the process, or the observer process."""

    WATCHDOG = "watchdog"
    OBSERVER = "observer"


@dataclass(frozen=True, slots=True)
class Waiting:
    """The system call in which a thread stood; `target` is what its descriptor leads to."""

    syscall: str
    target: str | None = None


@dataclass(frozen=True, slots=True)
class ThreadSampled:
    """Another thread of the process, how much CPU it had used by then, and how long it had waited for one."""

    native_id: int
    name: str | None
    cpu_ns: int
    frames: tuple[CodeFrame, ...]
    runqueue_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """What the loop was doing it for: the task, and the request that the task serves."""

    task: Task | None
    request: Request | None
    scope_id: int = 0  # id() of the request's scope; 0 without a request
    # A copy of the task's context (contextvars.Context) where somebody wants it, for the tracing span in it.
    context: Any = field(default=None, compare=False, repr=False)


class LoopBeat(NamedTuple):  # as Ticked, made at each beat: a dataclass takes thrice the time
    """The loop answered: it was alive at that moment."""

    at_ns: int
    cpu_ns: int
    process_cpu_ns: int


class SeenAlive(NamedTuple):
    """Nobody asked the loop, and yet it was seen that it turned at that moment; or had nothing to do, without a lag.

    `lag_ns` is how long it would have taken to answer at most.
    """

    at_ns: int
    cpu_ns: int
    process_cpu_ns: int
    lag_ns: int


class LoopStopped(NamedTuple):
    """The loop's run ended; nothing of it is awaited any more."""

    at_ns: int
    cpu_ns: int | None
    process_cpu_ns: int


class Ticked(NamedTuple):
    """The watchdog woke up.

    `deprived_ns` is for how long it had waited for a CPU since its last tick: lateness
    beyond that was time in which somebody held the GIL or the process stood still.
    """

    at_ns: int
    deprived_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """Where the loop's thread stood. Frames run outermost first.

    `frames[:base]` belong to the loop's own machinery; `idle` means that no callback ran.
    `unit` identifies what the loop was running: the id of the task's coroutine, 0 outside tasks.
    `turn` tells one callback from the next of the same function; 0 when not known.
    """

    at_ns: int
    source: Source
    frames: tuple[CodeFrame, ...]
    base: int
    idle: bool
    unit: Hashable = 0
    turn: int = 0
    cpu_ns: int | None = None
    runqueue_ns: int | None = None
    waiting: Waiting | None = None  # None: on the CPU, or not known
    runnable: bool | None = None  # the kernel says that it ran or wanted to; None when not known
    switches: int | None = None  # how often it had given up its CPU to wait, in all; None when not known
    stopped: bool = False  # the kernel says T or t: stopped by a signal or a tracer
    in_call: bool | None = None  # the instruction is one that can run C code; None when not known
    others: tuple[ThreadSampled, ...] = ()
    work: Work | None = None
    turned_ns: int | None = None  # when the loop's turn began; None when it rested, or keeps it nowhere


class Collected(NamedTuple):
    """A garbage collection on the loop's thread."""

    began_ns: int
    ended_ns: int
    generation: int
    collected: int


class Accounted(NamedTuple):
    """How long the loop's thread had been runnable without getting a CPU, in all, by then."""

    at_ns: int
    runqueue_ns: int


class MachineSlept(NamedTuple):
    """The machine was suspended for a while between two looks. CLOCK_MONOTONIC stood still, CLOCK_BOOTTIME did not."""

    looked_ns: int  # before it slept
    at_ns: int  # when that was noticed


Fact = MachineSlept | LoopBeat | SeenAlive | LoopStopped | Ticked | Sampled | Collected | Accounted

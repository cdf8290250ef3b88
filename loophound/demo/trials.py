"""One way of blocking a loop each, done for real by `loophound doctor`.

The functions end with the line that blocks, so that a sample taken too late shows another one.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from loophound.demo.sizes import exponential_size, linear_size
from loophound.detector.records import Cause

BLOCKED_S = 0.4

_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Trial:
    """What blocks, and what a correct record says: the cause, and this function's last line."""

    what: str
    cause: Cause
    block: Callable[[], object]
    gil_held: bool = False


def sleep() -> None:
    time.sleep(BLOCKED_S)


def compute(rounds: int) -> int:
    total = 0
    for number in range(rounds):
        total += number * number % 7
    return total


def match(length: int) -> object:
    return re.match(r"(a+)+$", "a" * length + "b")


def acquire() -> None:
    _lock.acquire(timeout=BLOCKED_S)


def trials() -> tuple[Trial, ...]:
    """Sized for this machine, which takes a fraction of a second."""
    rounds, length = linear_size(compute, BLOCKED_S), exponential_size(match, BLOCKED_S)
    _lock.acquire(blocking=False)  # held from here on, so that whoever acquires it waits

    def compute_here() -> int:
        return compute(rounds)

    def match_here() -> object:
        return match(length)

    return (
        Trial("a sleep", Cause.SLEEP, sleep),
        Trial("Python computing", Cause.CPU, compute_here),
        Trial("a C call that holds the GIL", Cause.NATIVE, match_here, gil_held=True),
        Trial("a lock", Cause.LOCK, acquire),
    )

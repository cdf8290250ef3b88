"""`loophound.allow_blocking`: a block of code that is meant to block the loop."""

from __future__ import annotations

import functools
import inspect
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from types import CodeType
from typing import Any, TypeVar

from loophound.detector.allowances import Permit

Function = TypeVar("Function", bound=Callable[..., Any])

# Read by detectors when a stall is explained, within a second or so of its end.
MOST_PERMITS = 1024
permits: deque[Permit] = deque(maxlen=MOST_PERMITS)
# Told the thread, and whether a permit began or ended there.
listeners: list[Callable[[int, bool], None]] = []


class allow_blocking:
    """Blocking in this block, or in the decorated function, is meant: it is not reported.

        with loophound.allow_blocking("read once, at the first request"):
            rules = Path("rules.toml").read_text()

    It covers what this function does itself and calls; tasks that run while it awaits are
    still reported. `reason` says to the next reader why; raises ValueError when it is empty.
    """

    def __init__(self, reason: str) -> None:
        if not isinstance(reason, str) or not reason.strip():
            raise ValueError('allow_blocking() takes the reason, such as allow_blocking("read once, at start")')
        self.reason = reason
        self._given: list[Permit] = []

    def __enter__(self) -> None:
        self._given.append(give(sys._getframe(1).f_code, self.reason))

    def __exit__(self, *_: object) -> None:
        take_back(self._given.pop())

    def __call__(self, function: Function) -> Function:
        code = inspect.unwrap(function).__code__
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def run_async(*args: Any, **kwargs: Any) -> Any:
                permit = give(code, self.reason)
                try:
                    return await function(*args, **kwargs)
                finally:
                    take_back(permit)

            return run_async  # type: ignore[return-value]

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            permit = give(code, self.reason)
            try:
                return function(*args, **kwargs)
            finally:
                take_back(permit)

        return run  # type: ignore[return-value]


def give(code: CodeType, reason: str) -> Permit:
    permit = Permit(threading.get_ident(), code.co_filename, code.co_qualname, reason, time.monotonic_ns())
    permits.append(permit)
    for listener in listeners:
        listener(permit.thread, True)
    return permit


def take_back(permit: Permit) -> None:
    permit.ended_ns = time.monotonic_ns()
    for listener in listeners:
        listener(permit.thread, False)

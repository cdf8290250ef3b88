"""How a thread tells a coroutine that something is done, on asyncio, uvloop and trio."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from functools import partial
from typing import Any


def in_event_loop() -> bool:
    """Whether an event loop runs in this thread, so that a caller can await."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        trio = sys.modules.get("trio")
        return trio is not None and bool(trio.lowlevel.in_trio_run())
    return True


def waker(callback: Callable[[], object]) -> Callable[[], None]:
    """A function for other threads: it has `callback` called on the loop that runs in this thread."""
    try:
        schedule: Callable[..., Any] = asyncio.get_running_loop().call_soon_threadsafe
    except RuntimeError:
        schedule = sys.modules["trio"].lowlevel.current_trio_token().run_sync_soon
    return partial(_wake, schedule, callback)


def _wake(schedule: Callable[..., Any], callback: Callable[[], object]) -> None:
    try:
        schedule(callback)
    except RuntimeError:  # the loop has ended, and with it whoever waited
        return

"""Tells the runs of a loop in which nobody's code can run.

`asyncio.run` runs its loop twice more when its coroutine has ended: for async generators that are still open, and
for the default executor's threads. Mostly there are none. In a suite of tests two of three runs are of that kind,
and to watch them costs as much as to watch the others.
"""

from __future__ import annotations

from asyncio.base_events import BaseEventLoop
from collections.abc import Callable
from types import CodeType
from typing import Any

from loophound.coroutines import coroutine_of

_NOTHING_OPEN: dict[CodeType, Callable[[Any], bool]] = {
    BaseEventLoop.shutdown_asyncgens.__code__: lambda loop: not loop._asyncgens,
    BaseEventLoop.shutdown_default_executor.__code__: lambda loop: loop._default_executor is None,
}
WAKES = 1  # what a loop without connections waits for: the socket that wakes it


def closes_nothing(loop: Any) -> bool:
    """Whether the run that begins only asks one of asyncio's own closing coroutines, which has nothing to do.

    False where that is not known. On the loop's own thread.
    """
    try:
        ready = loop._ready
        if len(ready) != 1:
            return False
        nothing_open = _NOTHING_OPEN.get(coroutine_of(ready[0]._callback.__self__).cr_code)
        if nothing_open is None or loop._scheduled or len(loop._selector.get_map()) > WAKES:
            return False
        return nothing_open(loop)
    except (AttributeError, TypeError):  # not one of asyncio's own loops, or a callback that is no task's
        return False

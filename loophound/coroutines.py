"""The coroutine of a task, asked for safely."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from operator import attrgetter
from typing import Any

# Before 3.12.5, `get_coro()` of a task that ended within its eager first step reads through a null pointer
# (python/cpython issue 122332): for whoever asks from another thread that is any task. The attribute behind it,
# which asyncio's own tasks have in both their makes, is None then.
_coro: Callable[[Any], Any] = attrgetter("_coro")


def coroutine_of(task: asyncio.Task[Any]) -> Any:
    """What the task runs; None for one that ended eagerly. For any thread."""
    try:
        return _coro(task)
    except AttributeError:
        return task.get_coro()

"""The coroutine of a task, asked for safely."""

from __future__ import annotations

import asyncio
from typing import Any


def coroutine_of(task: asyncio.Task[Any]) -> Any:
    """What the task runs; None for one that ended eagerly. For any thread.

    Before 3.12.5, `get_coro()` of a task that ended within its eager first step reads through a null pointer
    (python/cpython issue 122332): for whoever asks from another thread that is any task. The attribute behind it,
    which asyncio's own tasks have in both their makes, is None then.
    """
    try:
        return task._coro  # type: ignore[attr-defined]
    except AttributeError:
        return task.get_coro()

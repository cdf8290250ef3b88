"""From a task to the request that it serves, by way of the task's context."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Iterable
from contextvars import Context
from typing import Any

from loophound.coroutines import coroutine_of
from loophound.detector.facts import Work
from loophound.detector.records import Request, Task
from loophound.server.hooks import Exchange, current_scope


def work_of(task: asyncio.Task[Any]) -> Work:
    """The task, and the request in whose context it runs (its own, or the one that started it)."""
    context = context_of(task)
    scope = context.get(current_scope) if context is not None else None
    if callable(scope):
        scope = scope(task)
    described = Task(task.get_name(), getattr(coroutine_of(task), "__qualname__", None))
    kept = kept_of(context)
    if scope is None:
        return Work(described, None, context=kept)
    return Work(described, describe_request(scope), id(scope), kept)


class Keeping:
    """Whether works keep their contexts, and with them what is in them, for as long as samples are kept."""

    contexts = False


def kept_of(context: Context | None) -> Context | None:
    return context.copy() if context is not None and Keeping.contexts else None


def context_of(task: asyncio.Task[Any]) -> Context | None:
    if sys.version_info >= (3, 12):
        return task.get_context()
    # Python 3.11 does not tell, but its task visits its own context first when the
    # garbage collector asks what it refers to. Measured on 3.11.2 and 3.11.7, asyncio and uvloop.
    return next((part for part in gc.get_referents(task) if type(part) is Context), None)


def find_work(
    unit: object,
    at_ns: int,
    loop: asyncio.AbstractEventLoop,
    exchanges: Iterable[Exchange],
    *,
    search_tasks: bool = True,
) -> Work | None:
    """Who ran the coroutine with this id at that time, when it was only seen from outside."""
    for exchange in exchanges:
        # An id is used again once its coroutine has gone: the time tells which one it was.
        if exchange.coroutine_id == unit and exchange.began_ns <= at_ns and not 0 < exchange.ended_ns < at_ns:
            task = exchange.task
            described = Task(task.get_name(), getattr(coroutine_of(task), "__qualname__", None)) if task else None
            kept = kept_of(context_of(task)) if task is not None else None
            return Work(described, describe_request(exchange.scope), id(exchange.scope), kept)
    if not search_tasks:
        return None
    try:
        tasks = asyncio.all_tasks(loop)
    except RuntimeError:  # the set of tasks kept changing while it was copied
        return None
    return next((work_of(task) for task in tasks if id(coroutine_of(task)) == unit), None)


def describe_request(scope: Any) -> Request:
    client = scope.get("client")
    route = getattr(scope.get("route"), "path", None) or scope.get("path_template")
    return Request(
        id=_request_id(scope),
        method=scope.get("method", "GET"),
        path=scope["path"],
        route=route if isinstance(route, str) else None,
        client=f"{client[0]}:{client[1]}" if client else None,
    )


def _request_id(scope: Any) -> str | None:
    for name, value in scope.get("headers", ()):
        if name == b"x-request-id":
            return str(value.decode("latin-1"))
    return None

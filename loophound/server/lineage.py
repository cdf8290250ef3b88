"""From a task back to the request that it serves, for an observer.

A context variable tells it, which the tasks that an application starts inherit. To set it
in each request costs a small application 4 % of its requests per second. So it is set once
in each connection, in a context in which the connection's tasks start, and says where to
ask. Which of a connection's requests a task serves is plain for the task of the request
itself. Where an application is found to start tasks of its own, each request is marked
from then on.
"""

from __future__ import annotations

import asyncio
import re
from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from loophound.server.hooks import current_scope

if TYPE_CHECKING:
    from loophound.server.site import Connection

_NUMBERED = re.compile(r"Task-(\d+)")  # asyncio numbers tasks as they are made, unless they are given a name


def context_of(connection: Connection) -> Context:
    """The context in which the tasks of a connection's requests start."""
    context = copy_context()
    if connection.site.observed:
        context.run(current_scope.set, partial(scope_of, connection))
    return context


def marked(context: Context, scope: Any) -> Context:
    """A copy in which the request is named itself. Its scope, not the exchange: that refers to the task, and
    the task to its context, so that it would take the garbage collector to free them.
    """
    copy = context.copy()
    copy.run(current_scope.set, scope)
    return copy


def scope_of(connection: Connection, task: asyncio.Task[Any]) -> Any:
    """The scope of the request that a task of this connection serves, None when that is not
    certain. For any thread.
    """
    cycles = [cycle for cycle in connection.site.exchanges() if cycle.connection is connection]
    for cycle in cycles:
        if cycle.task is task:
            return cycle.scope
    connection.site.marks_each = True
    older = [cycle for cycle in cycles if cycle.task is not None and not _made_before(task, cycle.task)]
    return max(older, key=lambda cycle: cycle.began_ns).scope if older else None


def _made_before(task: asyncio.Task[Any], other: asyncio.Task[Any]) -> bool:
    """False also where the names do not tell."""
    number, others = _number(task), _number(other)
    return number is not None and others is not None and number < others


def _number(task: asyncio.Task[Any]) -> int | None:
    numbered = _NUMBERED.fullmatch(task.get_name())
    return int(numbered[1]) if numbered else None

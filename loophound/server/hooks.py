"""What the server tells an observer, and how an observer asks back.

The server calls this interface and knows nothing of who implements it. It is pulled, not
pushed: the server makes no call per request. An observer asks for the exchanges when it
has a stall to explain, which costs a healthy server nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any, Protocol


class Exchange(Protocol):
    """One request and its response, in flight or ended a moment ago.

    Read from other threads: each attribute is set once, or changed in one store.
    """

    @property
    def connection(self) -> object:
        """Which connection it came on."""

    @property
    def coroutine_id(self) -> int:
        """id() of the coroutine that runs the application; 0 before it starts."""

    scope: Any  # the ASGI scope; "route" is in it where the framework notes one
    task: asyncio.Task[Any] | None
    began_ns: int  # time.monotonic_ns() when the head was complete
    ended_ns: int  # when the response was complete; 0 while in flight


class Hooks(Protocol):
    """Told once per loop; a hook that raises is logged and unplugged, the server goes on."""

    def loop_starting(self, loop: asyncio.AbstractEventLoop) -> None:
        """The server begins: it imports the application and runs its lifespan; nobody waits yet."""

    def loop_started(self, loop: asyncio.AbstractEventLoop, exchanges: Callable[[], Iterable[Exchange]]) -> None:
        """The server accepts, called on the loop's thread; `exchanges` may be called from any thread."""

    def loop_stopping(self, loop: asyncio.AbstractEventLoop) -> None:
        """The server has stopped; `exchanges` must not be called any more."""


# Set in the task of each request while hooks are installed, inherited by the tasks that it starts: the
# request's scope, or a function that gives the scope, or None, for a task.
current_scope: ContextVar[Any] = ContextVar("loophound_scope")

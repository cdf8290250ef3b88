"""What the server tells an observer, and how an observer asks back.

The server calls this interface and knows nothing of who implements it. It is pulled, not
pushed: the server makes no call per request. An observer asks for the exchanges when it
has a stall to explain, which costs a healthy server nothing. What requests there were is noted
only while somebody wants to know.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol, TypeAlias


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


# One request that has ended: its method; the framework's route, else the path; how long it took, in nanoseconds.
Finished: TypeAlias = tuple[str, Any, int]


class Ended(NamedTuple):
    """The requests that ended since somebody asked last: of `stride` each, one was noted."""

    requests: int
    stride: int
    noted: Sequence[Finished]


class Served(Protocol):
    """What a server that accepts lets itself be asked, from any thread."""

    @property
    def addresses(self) -> Sequence[str]:
        """Where it listens, as URLs, or `unix:` and a path."""

    @property
    def leaving(self) -> bool:
        """Whether it is asked to stop, and serves on for a while."""

    def exchanges(self) -> Iterable[Exchange]:
        """Those at work, those that wait, and some that ended a moment ago. One may come twice."""

    def take_ended(self, most: int) -> Ended:
        """What ended since the last call. From now on requests are counted, and about so many noted until
        the next one; with 0 neither, which costs nothing.
        """


class Hooks(Protocol):
    """Told once per loop; a hook that raises is logged and unplugged, the server goes on.

    Hooks with a true attribute `from_afar` do without what requests note for them: their tasks are not
    marked, and a request costs no more than without hooks. Where they have a method `loop_leaving(loop)`, it is
    called when the server has been asked to end: before `--shutdown-delay`, and while requests still run.
    """

    def loop_starting(self, loop: asyncio.AbstractEventLoop) -> None:
        """The server begins: it imports the application and runs its lifespan; nobody waits yet."""

    def loop_started(self, loop: asyncio.AbstractEventLoop, served: Served) -> None:
        """The server accepts, called on the loop's thread."""

    def loop_stopping(self, loop: asyncio.AbstractEventLoop) -> None:
        """The server has stopped, and must not be asked any more."""


# Set in the task of each request while hooks are installed, inherited by the tasks that it starts: the
# request's scope, or a function that gives the scope, or None, for a task.
current_scope: ContextVar[Any] = ContextVar("loophound_scope")

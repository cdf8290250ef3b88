"""One request on an event loop of its own in a worker thread, with receive and send on the main loop.

A side loop serves one request at a time, so that code which blocks it delays nobody else.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context, copy_context
from enum import Enum, auto
from types import TracebackType
from typing import Any, Self

import anyio

from loophound.offloading.pool import Job, Pool
from loophound.offloading.pools import Pools

App = Callable[[Any, Any, Any], Awaitable[None]]
STARTS = frozenset({"http.response.start", "websocket.accept"})


class SideEventLoop(asyncio.SelectorEventLoop):
    may_block = True  # here it is no stall: detectors pass it over


class SideLoop:
    """The environment of a thread in the pool: a loop, made for its first request and kept."""

    def __init__(self) -> None:
        self._runner: asyncio.Runner | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            self._runner.close()

    def run(self, main: Callable[[], Coroutine[Any, Any, None]], context: Context) -> None:
        if self._runner is None:
            self._runner = asyncio.Runner(loop_factory=SideEventLoop)
        self._runner.run(main(), context=context)


class BridgeState(Enum):
    OPEN = auto()
    GIVEN_UP = auto()  # the server's side of the request is over, whatever the application still sends


class Bridge:
    """receive and send for the side loop. Each is done on the main loop and awaited, which is the backpressure."""

    def __init__(self, main: asyncio.AbstractEventLoop, receive: Any, send: Any, limit: anyio.CancelScope) -> None:
        self._main, self._receive, self._send, self._limit = main, receive, send, limit
        self.state = BridgeState.OPEN

    async def receive(self) -> Any:
        return await self._on_main(self._receive_there)

    async def send(self, message: Any) -> None:
        await self._on_main(self._send_there, message)

    async def _receive_there(self) -> Any:
        return {"type": "http.disconnect"} if self.state is BridgeState.GIVEN_UP else await self._receive()

    async def _send_there(self, message: Any) -> None:
        if self.state is BridgeState.GIVEN_UP:
            raise OSError("the request was given up")  # as the ASGI specification has it after a disconnect
        if message["type"] in STARTS:
            self._limit.deadline = math.inf  # a stream may last
        await self._send(message)

    async def _on_main(self, call: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> Any:
        coroutine = call(*arguments)
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self._main)
        except RuntimeError as closed:
            coroutine.close()
            raise OSError("the main loop has ended") from closed
        return await asyncio.wrap_future(future)


async def run_on_side_loop(pools: Pools, app: App, scope: Any, receive: Any, send: Any) -> None:
    """Run the application for one request on a side loop. Raises what the application raises,
    OffloadQueueFullError, and OffloadTimeoutError when no response starts within the time limit.
    """
    pool: Pool[SideLoop] = pools.pool("route", pools.threads, SideLoop)
    limit = anyio.move_on_after(pools.time_limit_s)
    bridge = Bridge(asyncio.get_running_loop(), receive, send, limit)
    context = copy_context()

    def work(side: SideLoop, job: Job[SideLoop]) -> None:
        async def main() -> None:
            loop, task = asyncio.get_running_loop(), asyncio.current_task()
            assert task is not None
            pool.interruptible(job, lambda: loop.call_soon_threadsafe(task.cancel))
            try:
                await app(scope, bridge.receive, bridge.send)
            finally:
                await _tasks_left_behind()

        side.run(main, context)

    try:
        await pools.wait(pool, f"{scope.get('method', scope['type'])} {scope['path']}", work, limit)
    finally:
        bridge.state = BridgeState.GIVEN_UP
        _take_back(context)


async def _tasks_left_behind() -> None:
    """The loop stands still between two requests: tasks that the application started end first."""
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others)


def _take_back(context: Context) -> None:
    """What the application set in its context is seen by those who called it, as if it had run here."""
    for variable, value in context.items():
        if variable.get(variable) is not value:  # a variable is never its own value
            variable.set(value)

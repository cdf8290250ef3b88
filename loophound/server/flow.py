"""Write backpressure: send() waits while the transport's buffer is above its high-water mark."""

from __future__ import annotations

import asyncio


class WriteFlow:
    """Opened and shut by the transport (`pause_writing`, `resume_writing`)."""

    __slots__ = ("_loop", "_waiters", "paused")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiters: list[asyncio.Future[None]] = []
        self.paused = False

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        """Also called when the connection is lost, so that nobody waits for ever."""
        self.paused = False
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def drain(self) -> None:
        while self.paused:
            waiter = self._loop.create_future()
            self._waiters.append(waiter)
            await waiter

"""WatchMiddleware: the detector under any ASGI server, which learns from it whose request runs."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import loophound
from loophound.coroutines import coroutine_of
from loophound.server.hooks import Ended, Finished, current_scope

if TYPE_CHECKING:
    from loophound.detector.detector import Detector

App = Callable[[Any, Any, Any], Awaitable[None]]
# A stall is explained within a second of its end: by then these may have been answered.
MOST_LATELY = 256
MOST_NOTED = 4096  # of the requests of a second


class Exchange:
    """One request; see loophound/server/hooks.py."""

    __slots__ = ("began_ns", "connection", "coroutine_id", "ended_ns", "scope", "task")

    def __init__(self, scope: Any) -> None:
        client = scope.get("client")
        # Equal for the requests of one connection, and by `intern` the same object.
        self.connection: object = sys.intern(f"{client[0]}:{client[1]}") if client else self
        self.scope = scope
        self.task = asyncio.current_task()
        self.coroutine_id = id(coroutine_of(self.task)) if self.task is not None else 0
        self.began_ns = time.monotonic_ns()
        self.ended_ns = 0


class Site:
    """What runs on one loop."""

    addresses: Sequence[str] = ()
    leaving = False

    def __init__(self) -> None:
        self.running: dict[int, Exchange] = {}
        self.lately: deque[Exchange] = deque(maxlen=MOST_LATELY)
        # While somebody wants the figures: how many have ended, and of `stride` each one.
        self.ended = self.stride = 0
        self.noted: deque[Finished] = deque(maxlen=MOST_NOTED)

    def exchanges(self) -> Iterable[Exchange]:
        return [*self.running.values(), *self.lately]

    def take_ended(self, most: int) -> Ended:
        # A request that ends between these lines may be missed: nothing here is worth a lock at each.
        taken = Ended(self.ended, self.stride, list(self.noted))
        self.noted = deque(maxlen=MOST_NOTED)
        self.ended = 0
        self.stride = 0 if not most else taken.requests // most + 1
        return taken

    def left(self, exchange: Exchange) -> None:
        """A request has ended."""
        exchange.ended_ns = time.monotonic_ns()
        del self.running[id(exchange)]
        self.lately.append(exchange)
        scope = exchange.scope
        if not self.stride or scope["type"] != "http":
            return
        self.ended += 1
        if self.ended % self.stride == 0:
            route = scope.get("route") or scope.get("path_template") or scope["path"]
            self.noted.append((scope["method"], route, exchange.ended_ns - exchange.began_ns))


class WatchMiddleware:
    """Watches the loop that serves, and tells whose request blocked it, under any ASGI server.

        app = WatchMiddleware(app, threshold=0.1, record="stalls.jsonl")

    `options` are those of `loophound.Detector`; `detector` is one that is there already, and is left to
    whoever made it. It begins with the lifespan, without one with the first request, and ends with the
    lifespan, or with aclose(). Put it outermost. Under `loophound serve --detect-blocking` it is not needed.
    Raises ConfigError for options that cannot be right.
    """

    def __init__(self, app: App, *, detector: Detector | None = None, **options: Any) -> None:
        self.app = app
        self.detector = detector if detector is not None else loophound.Detector(**options)
        self._own = detector is None
        self._sites: dict[int, Site] = {}  # by id of the loop
        self._lock = threading.Lock()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        site = self._site()
        if scope["type"] == "lifespan":
            try:
                await self.app(scope, receive, send)
            finally:
                await self.aclose()
            return
        exchange = Exchange(scope)
        site.running[id(exchange)] = exchange
        token = current_scope.set(scope)
        try:
            await self.app(scope, receive, send)
        finally:
            current_scope.reset(token)
            site.left(exchange)

    def _site(self) -> Site:
        loop = asyncio.get_running_loop()
        site = self._sites.get(id(loop))
        if site is None:
            with self._lock:
                if self._own:
                    self.detector.start()
                site = self._sites[id(loop)] = Site()
                self.detector.hooks.loop_started(loop, site)
        return site

    async def aclose(self) -> None:
        """Stop watching, once the last stalls have been shown. The next request begins anew."""
        loop = asyncio.get_running_loop()
        if self._sites.pop(id(loop), None) is None:
            return
        self.detector.hooks.loop_stopping(loop)
        if self._own and not self._sites:
            await asyncio.to_thread(self.detector.stop)

"""OffloadMiddleware: the executors of an application, and routes that run beside the main loop."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto
from functools import partial
from typing import Any

from loophound.middleware.rules import Rule, Rules
from loophound.middleware.side_loop import App, run_on_side_loop
from loophound.offloading.errors import OffloadQueueFullError
from loophound.offloading.metrics import OffloadMetrics
from loophound.offloading.pool import logger
from loophound.offloading.pools import QUEUE, Pools, Refusal, current_pools, current_refusal

GRACE_S = 10.0
TRY_AGAIN_LATER = 1013  # close code in the IANA registry of RFC 6455, section 11.7


class OffloadMiddleware:
    """Pure ASGI. Owns the executors that functions marked with `offload` use in this application.

    `threads` (40) and `processes` (the CPUs) run at most, `queue` calls wait at most for each; one more is answered
    503 with `Retry-After: retry_after_s` (RFC 9110, section 15.6.4), a WebSocket is closed with 1013.
    `time_limit_s` bounds a call, waiting included; for a route under a rule it ends when the response starts.
    `rules` name routes (see Rules) whose `async def` code runs on a side event loop in one of as many threads.
    At the end of the lifespan calls in flight get `grace_s` seconds. Without a lifespan the executors
    open with the first call, and aclose() or the end of the process closes them.
    Raises ValueError for a limit and TypeError for a rule that cannot be right.
    """

    def __init__(
        self,
        app: App,
        *,
        threads: int | None = None,
        processes: int | None = None,
        queue: int = QUEUE,
        time_limit_s: float | None = None,
        rules: Iterable[Rule] = (),
        grace_s: float = GRACE_S,
        retry_after_s: int = 1,
    ) -> None:
        if grace_s < 0 or retry_after_s < 0:
            raise ValueError("grace_s and retry_after_s are 0 or more seconds")
        self.app = app
        self.pools = Pools(threads=threads, processes=processes, queue=queue, time_limit_s=time_limit_s)
        self._rules = Rules(rules)
        self._grace_s = grace_s
        self._retry_after_s = retry_after_s

    @property
    def metrics(self) -> OffloadMetrics:
        """Counters by executor; current_metrics() gives the same inside of a request."""
        return self.pools.metrics

    async def aclose(self) -> None:
        """Close the executors, as at the end of the lifespan. The next call opens them again."""
        await self.pools.close(self._grace_s)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        token = current_pools.set(self.pools)
        try:
            if scope["type"] == "lifespan":
                await Lifespan(self, receive, send).run(scope)
            elif scope["type"] in ("http", "websocket"):
                await self._exchange(scope, receive, send)
            else:
                await self.app(scope, receive, send)
        finally:
            current_pools.reset(token)

    async def _exchange(self, scope: Any, receive: Any, send: Any) -> None:
        refusal = Refusal()
        response = Response(scope["type"], send, refusal, self._retry_after_s)
        token = current_refusal.set(refusal)
        app = self.app
        if self._rules and self._rules.match(self.app, scope):
            app = partial(run_on_side_loop, self.pools, self.app)
        try:
            await app(scope, receive, response.send)
        except Exception as error:
            if not await response.refuse(error):
                raise
        finally:
            current_refusal.reset(token)


class ResponseState(Enum):
    """PENDING -> STARTED by the application, or PENDING -> REFUSED by us."""

    PENDING = auto()
    STARTED = auto()
    REFUSED = auto()


class Response:
    """The way to the server, on which a refusal takes the place of the framework's own error page."""

    def __init__(self, kind: str, send: Any, refusal: Refusal, retry_after_s: int) -> None:
        self._kind, self._send, self._refusal, self._retry_after_s = kind, send, refusal, retry_after_s
        self._state = ResponseState.PENDING

    async def send(self, message: Any) -> None:
        if self._state is ResponseState.REFUSED:
            return
        if self._state is ResponseState.PENDING:
            # Frameworks answer an unknown exception with 500, then raise it again.
            if self._refusal.happened and message.get("status") == 500:
                await self._answer()
                return
            self._state = ResponseState.STARTED
        await self._send(message)

    async def refuse(self, error: Exception) -> bool:
        """Answer 503 for an exception that came of a full queue; False where it did not, or is too late."""
        if not _of_a_full_queue(error) or self._state is ResponseState.STARTED:
            return False
        if self._state is ResponseState.PENDING:
            await self._answer()
        logger.warning("refused with 503: %s", error)
        return True

    async def _answer(self) -> None:
        self._state = ResponseState.REFUSED
        if self._kind == "websocket":
            await self._send({"type": "websocket.close", "code": TRY_AGAIN_LATER, "reason": "busy"})
            return
        body = b"Service Unavailable"
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"%d" % len(body)),
            (b"retry-after", b"%d" % self._retry_after_s),
        ]
        await self._send({"type": "http.response.start", "status": 503, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})


def _of_a_full_queue(error: Exception) -> bool:
    if isinstance(error, ExceptionGroup):  # a task group of the application
        return error.split(OffloadQueueFullError)[1] is None
    return isinstance(error, OffloadQueueFullError)


class Lifespan:
    """Passes the lifespan on to the application, and closes the executors when its shutdown is done.

    An application that ends before it asks for the first event has no lifespan; then it is ours.
    """

    def __init__(self, middleware: OffloadMiddleware, receive: Any, send: Any) -> None:
        self._middleware, self._receive, self._send = middleware, receive, send
        self._asked = False

    async def run(self, scope: Any) -> None:
        try:
            await self._middleware.app(scope, self._receive_for_app, self._send_for_app)
        except Exception:
            if self._asked:
                raise
        finally:
            if self._asked:
                await self._middleware.aclose()
        if not self._asked:
            await self._by_ourselves()

    async def _receive_for_app(self) -> Any:
        self._asked = True
        return await self._receive()

    async def _send_for_app(self, message: Any) -> None:
        # The server may exit once it has this message; work in flight comes first.
        if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
            await self._middleware.aclose()
        await self._send(message)

    async def _by_ourselves(self) -> None:
        await self._receive()
        await self._send({"type": "lifespan.startup.complete"})
        await self._receive()
        await self._middleware.aclose()
        await self._send({"type": "lifespan.shutdown.complete"})

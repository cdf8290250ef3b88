"""BlockingCallMiddleware: flags synchronous calls inside requests, under any ASGI server."""

from __future__ import annotations

import logging
import weakref
from asyncio import _get_running_loop
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from threading import Event, Thread, get_ident
from typing import Any, Literal, get_args

from anyio import CancelScope, to_thread

from loophound.calls.flagger import CallFace, Flagger, base_codes
from loophound.calls.observing import Tally, current, of_server, served
from loophound.dashboards.calls import LOGGER, CallLog
from loophound.detector.allowances import Allowance
from loophound.detector.records import BlockingCall
from loophound.project import allowance, allowances, find_pyproject

App = Callable[[Any, Any, Any], Awaitable[None]]
Action = Literal["log", "raise", "header", "callback"]
ACTIONS: tuple[str, ...] = get_args(Action)
logger = logging.getLogger(LOGGER)
_set, _reset = current.set, current.reset


class BlockingCallMiddleware:
    """Flags known synchronous calls within requests, and the tasks that they start, on the loop's thread.

        app = BlockingCallMiddleware(app, action="raise")

    `action` is one of, or several of: "log" (a warning of the logger `loophound.calls`), "raise"
    (BlockingCallError before the call happens), "header" (Server-Timing with the time and the number of calls so far,
    as the response starts) and "callback". `callback` is called with each BlockingCall, on a thread
    of Loophound's own. Calls shorter than `minimum_ms` are let pass; 0 flags every call, also one that would not have
    had to wait long. `allow` names code that may block, as [tool.loophound] in pyproject.toml does: "package.module"
    or "package.module:function", or a table with `code` and `reason`; what pyproject.toml allows is allowed as well.

    It begins with the lifespan, without one with the first request, and ends with the lifespan, with aclose() or with
    the object itself. Raises ValueError for an action or a minimum that cannot be right, ConfigError for an
    allowance.
    """

    def __init__(
        self,
        app: App,
        *,
        action: str | Iterable[str] = "log",
        callback: Callable[[BlockingCall], object] | None = None,
        minimum_ms: float = 1.0,
        allow: Iterable[str | Mapping[str, str] | Allowance] = (),
    ) -> None:
        actions = _actions(action, callback)
        if not 0 <= minimum_ms < float("inf"):
            raise ValueError(f"minimum_ms is a number of milliseconds, 0 or more; got {minimum_ms!r}")
        faces: list[CallFace] = [CallLog(logger)] if "log" in actions else []
        if callback is not None:
            faces.append(_face(callback))
        self.app = app
        self.flagger = Flagger(
            faces, minimum_ms=minimum_ms, raises="raise" in actions, allowances=[*_allowances(allow), *_of_project()]
        )
        self._header = "header" in actions
        self._end = weakref.finalize(self, _stop, self.flagger)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        flagger = self.flagger
        if not flagger.alone or self._header or scope["type"] == "lifespan":
            await self._at_length(scope, receive, send)
            return
        token = _set((flagger, get_ident(), scope, None, None))
        try:
            await self.app(scope, receive, send)
        finally:
            _reset(token)

    async def _at_length(self, scope: Any, receive: Any, send: Any) -> None:
        """What is not the case in most requests, which do not pay for it."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        flagger = self.flagger
        if not flagger.started:
            await to_thread.run_sync(flagger.start, self.app)
        outer = current.get()
        if outer is None and served:
            outer = of_server()
        tally = None
        if self._header and scope["type"] == "http":
            tally = Tally()
            send = _with_header(tally, send)
        token = current.set((flagger, get_ident(), scope, outer, tally))
        try:
            await self.app(scope, receive, send)
        finally:
            current.reset(token)

    async def aclose(self) -> None:
        """Put everything back, once the last calls have been shown. The next request begins anew."""
        await to_thread.run_sync(self.flagger.stop, self.app)

    async def _lifespan(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_when_shown(message: Any) -> None:
            # The server may exit once it has this message.
            if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
                await self.aclose()
            await send(message)

        given_up = Event()

        def start() -> None:
            self.flagger.start(self.app)
            if given_up.is_set():
                self.flagger.stop(self.app)

        try:
            await to_thread.run_sync(start)
            await self.app(scope, receive, send_when_shown)
        finally:
            given_up.set()  # by a server that no longer waits for the start, which its thread then finishes
            with CancelScope(shield=True):
                await self.aclose()


base_codes.update((BlockingCallMiddleware.__call__.__code__, BlockingCallMiddleware._at_length.__code__))


def _stop(flagger: Flagger) -> None:
    """The object is gone; whose thread this is nobody knows."""
    if flagger.started and _get_running_loop() is not None:
        Thread(target=flagger.stop, name="loophound-calls-end").start()
    else:
        flagger.stop()


def _with_header(tally: Tally, send: Any) -> Any:
    async def send_with_header(message: Any) -> None:
        if message["type"] == "http.response.start" and tally.calls:
            number = tally.calls
            timing = f'blocking;dur={tally.blocked_ns / 1e6:.1f};desc="{number} call{"s" if number > 1 else ""}"'
            message = {**message, "headers": [*message.get("headers", ()), (b"server-timing", timing.encode())]}
        await send(message)

    return send_with_header


def _face(callback: Callable[[BlockingCall], object]) -> CallFace:
    def face(call: BlockingCall) -> None:
        callback(call)

    face.__qualname__ = getattr(callback, "__qualname__", "the callback")
    return face


def _actions(action: str | Iterable[str], callback: object) -> frozenset[str]:
    actions = frozenset([action] if isinstance(action, str) else action)
    unknown = actions.difference(ACTIONS)
    if unknown or not actions:
        raise ValueError(f"action is one or several of {', '.join(ACTIONS)}; got {action!r}")
    if "callback" in actions and callback is None:
        raise ValueError('action="callback" wants a callback=')
    return actions


def _allowances(allow: Iterable[str | Mapping[str, str] | Allowance]) -> list[Allowance]:
    if isinstance(allow, str):
        raise ValueError(f"allow is a list of names such as [{allow!r}]")
    return [_allowance(entry) for entry in allow]


def _allowance(entry: str | Mapping[str, str] | Allowance) -> Allowance:
    if isinstance(entry, Allowance):
        return entry
    where = "BlockingCallMiddleware, allow"
    if isinstance(entry, str):
        return allowance({"code": entry, "reason": "allowed by the application"}, where)
    return allowance(dict(entry), where)


def _of_project() -> list[Allowance]:
    pyproject = find_pyproject(Path.cwd())
    return allowances(pyproject) if pyproject is not None else []

"""The application's side of a WebSocket: its `receive` and `send` (ASGI, "WebSocket")."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

from loophound.coroutines import coroutine_of
from loophound.server.asgi import Application, ClientGone, Message, MessageError
from loophound.server.cycle import COMPLETE
from loophound.server.hooks import current_scope
from loophound.server.websocket.frames import BINARY, INTERNAL_ERROR, NORMAL, TEXT
from loophound.server.websocket.states import CONNECTING, DENYING, OPEN, State

if TYPE_CHECKING:
    from loophound.server.cycle import Cycle
    from loophound.server.websocket.connection import WebSocketConnection

logger = logging.getLogger("loophound.server")

# 2.4: send() on a closed connection raises OSError.
SPEC_VERSION = "2.4"


class Session:
    """A WebSocket as the application sees it; for an observer, an exchange (`hooks.Exchange`)."""

    __slots__ = (
        "_farewell",
        "_waiters",
        "began_ns",
        "connection",
        "ended_ns",
        "inbox",
        "request",
        "scope",
        "task",
    )

    def __init__(self, connection: WebSocketConnection, request: Cycle) -> None:
        self.connection = connection
        self.request = request  # the handshake; its response, where it is denied
        self.scope = dict(request.scope)
        del self.scope["method"]
        self.scope |= {
            "type": "websocket",
            "asgi": {**self.scope["asgi"], "spec_version": SPEC_VERSION},
            "scheme": "wss" if self.scope["scheme"] == "https" else "ws",
            "subprotocols": connection.handshake.subprotocols,
            "extensions": {"websocket.http.response": {}},
        }
        if "tls" in request.scope["extensions"]:
            self.scope["extensions"]["tls"] = request.scope["extensions"]["tls"]
        self.task: asyncio.Task[None] | None = None
        self.began_ns = request.began_ns
        self.ended_ns = 0
        self.inbox: deque[Message] = deque([{"type": "websocket.connect"}])
        self._farewell: Message | None = None  # what receive() says once the inbox is empty
        self._waiters: list[asyncio.Future[None]] = []

    # -- running the application

    async def run(self, app: Application) -> None:
        if self.connection.site.observed:
            current_scope.set(self.scope)
        try:
            await app(self.scope, self.receive, self.send)
        except BaseException as error:
            self._raised(error)
        else:
            self._returned()

    def _raised(self, error: BaseException) -> None:
        if isinstance(error, GeneratorExit):  # the loop was closed under the task
            raise error
        if isinstance(error, asyncio.CancelledError) and self.connection.site.stopping:
            self._end_for_application(503, "Service Unavailable", INTERNAL_ERROR)
            return
        if isinstance(error, ClientGone):
            logger.debug("%s: the application ended when the client was gone", self.describe())
            return
        # SystemExit and KeyboardInterrupt end here too: raised through a task they would end the loop.
        traceback = error.__traceback__ and error.__traceback__.tb_next
        logger.error("%s: the application raised", self.describe(), exc_info=(type(error), error, traceback))
        self._end_for_application(500, "Internal Server Error", INTERNAL_ERROR)

    def _returned(self) -> None:
        state = self.connection.state
        if state is CONNECTING:
            logger.error("%s: the application returned without accepting or closing the WebSocket", self.describe())
        elif state is DENYING and self.request.answer is not COMPLETE:
            logger.error("%s: the application returned before the end of its response body", self.describe())
        self._end_for_application(500, "Internal Server Error", NORMAL)

    def _end_for_application(self, status: int, text: str, code: int) -> None:
        connection = self.connection
        if connection.state is OPEN:
            connection.close(code, "")
        elif connection.state in (CONNECTING, DENYING):
            self.request.give_up(status, text)

    @property
    def coroutine_id(self) -> int:
        return 0 if self.task is None else id(coroutine_of(self.task))

    def describe(self) -> str:
        """The session as log lines name it."""
        return f"WebSocket {self.request.target.decode('ascii', 'backslashreplace')}"

    # -- receive

    async def receive(self) -> Message:
        inbox = self.inbox
        while not inbox:
            if self._farewell is not None:
                return self._farewell
            # One future for each waiter: cancelling one task must not cancel another's wait.
            waiter = self.connection.site.loop.create_future()
            self._waiters.append(waiter)
            await waiter
        message = inbox.popleft()
        if not inbox:
            self.connection.drained()
        return message

    def wake(self) -> None:
        if self._waiters:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def end(self, code: int, reason: str | None = None) -> None:
        """No further message comes; the first call says why. Without a Close frame there is no reason."""
        if self._farewell is None:
            self._farewell = {"type": "websocket.disconnect", "code": code}
            if reason is not None:
                self._farewell["reason"] = reason
            if self.connection.site.timed:
                self.ended_ns = monotonic_ns()
            self.wake()

    # -- send

    async def send(self, message: Message) -> None:
        """Raises ClientGone (OSError) once the connection is closed, MessageError for a wrong message."""
        kind = message["type"]
        connection = self.connection
        if kind != "websocket.send" or connection.state is not OPEN:
            await self._send_rarely(kind, message)
            return
        text = message.get("text")
        if text is not None:
            connection.write_message(TEXT, _encoded(text))
        else:
            data = message.get("bytes")
            connection.write_message(BINARY, data if data.__class__ is bytes else _as_bytes(data))
        if connection.flow.paused:
            await connection.flow.drain()

    async def _send_rarely(self, kind: str, message: Message) -> None:
        connection = self.connection
        match connection.state:
            case State.CONNECTING:
                await self._answer(kind, message)
            case State.DENYING:
                if kind != "websocket.http.response.body":
                    raise MessageError(f"{kind!r} was sent where 'websocket.http.response.body' is due")
                await self._deny(message)
            case State.OPEN:
                if kind != "websocket.close":
                    raise MessageError(f"{kind!r} was sent where 'websocket.send' or 'websocket.close' is due")
                try:
                    connection.close(message.get("code", NORMAL), message.get("reason") or "")
                except (TypeError, ValueError) as error:
                    raise MessageError(f"websocket.close: {error}") from None
            case _:
                if kind != "websocket.close":  # to close what is closed does no harm
                    raise ClientGone(f"{kind!r} was sent after the WebSocket was closed")

    async def _answer(self, kind: str, message: Message) -> None:
        """Answer the handshake."""
        request, connection = self.request, self.connection
        if kind == "websocket.accept":
            heads = connection.site.heads
            subprotocol = message.get("subprotocol")
            connection.opened(connection.handshake.response(heads, subprotocol, message.get("headers") or ()))
            self._note_accepted()
        elif kind == "websocket.close":
            request.give_up(403, "Forbidden")
        elif kind == "websocket.http.response.start":
            await self._deny(message)
            connection.state = DENYING
        else:
            raise MessageError(f"{kind!r} was sent where 'websocket.accept' or 'websocket.close' is due")

    async def _deny(self, message: Message) -> None:
        await self.request.send({**message, "type": message["type"].removeprefix("websocket.")})

    def _note_accepted(self) -> None:
        request = self.request
        request.status = 101
        request.answer = COMPLETE
        access_log = self.connection.site.access_log
        if access_log is not None:
            request.ended_ns = monotonic_ns()
            access_log.record(request)


def _encoded(text: Any) -> bytes:
    try:
        return text.encode()  # type: ignore[no-any-return]
    except (AttributeError, UnicodeEncodeError) as error:
        raise MessageError(f"the text of websocket.send is str that UTF-8 can encode: {error}") from None


def _as_bytes(data: Any) -> bytes:
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise MessageError(f"websocket.send has text (str) or bytes; got {type(data).__name__}")

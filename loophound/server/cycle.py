"""One request and its response: the `receive` and `send` of an application.

                 http.response.start        first body               last body
    AWAITED ──────────────────────► HEADED ───────────► STREAMING ───────────► COMPLETE
       └───────────────┬───────────────┴────────────────────┴─ connection lost ─► ABANDONED

The head waits for the first body message (ASGI: the server must not send it before), so
that both leave in one write. One slotted object serves as request, response and, for an
observer, as the exchange (`hooks.Exchange`).
"""

from __future__ import annotations

import asyncio
import logging
import os
from enum import Enum, auto
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

from loophound.coroutines import coroutine_of
from loophound.errors import exceeds_stall_limit
from loophound.server import files, heads
from loophound.server.asgi import Application, Message, MessageError

if TYPE_CHECKING:
    from loophound.server.site import Connection

logger = logging.getLogger("loophound.server")

# A stream's chunks are joined within one turn of the loop, up to here.
JOINED_WRITE_BYTES = 65_536


class Upload(Enum):
    """Where the body of the request is."""

    ARRIVING = auto()
    WHOLE = auto()  # all of it is here, its last piece not yet received by the application
    GIVEN = auto()
    LAST = auto()  # whole, but once it is received the client counts as gone
    CUT = auto()  # the client is gone, or the server stops: receive() says http.disconnect


class Answer(Enum):
    """How far the response is."""

    AWAITED = auto()
    HEADED = auto()  # http.response.start was accepted, nothing is on the wire
    STREAMING = auto()  # the head is on the wire
    COMPLETE = auto()
    ABANDONED = auto()  # what the application still sends goes nowhere


class Framing(Enum):
    """How the body of the response is delimited (RFC 9112, section 6.3)."""

    LENGTH = auto()
    CHUNKED = auto()
    TRAILED = auto()  # chunked, with trailers after its last chunk
    TRAILERS = auto()  # the same; the body is over, the trailers are due
    CLOSE = auto()
    NO_BODY = auto()


# Module names: on Python 3.11 each look-up of an enum's member costs 30 ns.
ARRIVING, WHOLE, GIVEN = Upload.ARRIVING, Upload.WHOLE, Upload.GIVEN
LAST, CUT = Upload.LAST, Upload.CUT
AWAITED, HEADED, STREAMING = Answer.AWAITED, Answer.HEADED, Answer.STREAMING
COMPLETE, ABANDONED = Answer.COMPLETE, Answer.ABANDONED
_OVER = frozenset({COMPLETE, ABANDONED})

_FILES = frozenset({"http.response.zerocopysend", "http.response.pathsend"})
# Stands for the length of a response that has trailers, and so is chunked.
WITH_TRAILERS = -1

# A request in which a loop was blocked has itself taken as long.
SLOW_NS = 20_000_000


class Cycle:
    """A request in flight."""

    __slots__ = (
        "_framing",
        "_head",
        "_length",
        "_pending",
        "_pending_bytes",
        "_waiters",
        "answer",
        "began_ns",
        "body",
        "connection",
        "connection_line",
        "ended_ns",
        "expects_continue",
        "persistent",
        "scope",
        "status",
        "target",
        "task",
        "upload",
    )

    def __init__(self, connection: Connection, scope: dict[str, Any], target: bytes, persistent: bool) -> None:
        self.connection = connection
        self.scope = scope
        self.target = target  # as the client wrote it
        self.persistent = persistent  # the connection outlives this response
        self.connection_line = b""
        self.expects_continue = False
        self.task: asyncio.Task[None] | None = None
        self.began_ns = 0
        self.ended_ns = 0
        self.upload = ARRIVING
        self.body: bytes | bytearray = b""
        self.answer = AWAITED
        self.status = 0
        self._waiters: list[asyncio.Future[None]] | None = None

    # -- running the application

    async def run(self, app: Application) -> None:
        try:
            await app(self.scope, self.receive, self.send)
        except BaseException as error:
            self._raised(error)
        else:
            if self.answer is not COMPLETE:
                self._fell_short()

    def _raised(self, error: BaseException) -> None:
        if isinstance(error, GeneratorExit):  # the loop was closed under the task
            raise error
        if isinstance(error, asyncio.CancelledError) and self.connection.site.stopping:
            self.give_up(503, "Service Unavailable")
            return
        # The frame of run() is of no use to the reader. SystemExit and KeyboardInterrupt end here too: raised
        # through a task they would end the loop, and with it everybody else's requests.
        traceback = error.__traceback__ and error.__traceback__.tb_next
        logger.error("%s: the application raised", self.describe(), exc_info=(type(error), error, traceback))
        if exceeds_stall_limit(error):
            self.give_up(503, "Service Unavailable")
        else:
            self.give_up(500, "Internal Server Error")

    def _fell_short(self) -> None:
        if self.answer is ABANDONED:
            return
        if self.upload is CUT and self.answer is STREAMING:
            logger.debug("%s: the stream ended when it was told of the disconnect", self.describe())
        elif self.answer is AWAITED:
            logger.error("%s: the application returned without sending http.response.start", self.describe())
        elif self.answer is HEADED:
            logger.error("%s: the application returned without sending http.response.body", self.describe())
        else:
            logger.error("%s: the application returned before the end of its response body", self.describe())
        self.give_up(500, "Internal Server Error")

    def give_up(self, status: int, text: str) -> None:
        """Answer in the application's place if nothing is on the wire, else close: the client sees the cut."""
        if self.answer in _OVER:
            return
        self.persistent = False
        if self.answer is STREAMING:
            if self._pending:
                self._flush()
            self.answer = ABANDONED
        else:
            self.status = status
            self.answer = COMPLETE
            connection = self.connection
            to_head = self.scope["method"] == "HEAD"
            connection.transport.write(connection.site.heads.farewell(status, text, to_head=to_head))
        self._ended()

    @property
    def coroutine_id(self) -> int:
        return 0 if self.task is None else id(coroutine_of(self.task))

    def describe(self) -> str:
        """The request as log lines name it."""
        return f"{self.scope['method']} {self.target.decode('ascii', 'backslashreplace')}"

    # -- receive

    async def receive(self) -> Message:
        if self.upload is WHOLE and self.answer is not COMPLETE:
            self.upload = GIVEN
            return {"type": "http.request", "body": self._take_body(), "more_body": False}
        return await self._receive_when_there()

    def _take_body(self) -> bytes:
        body = self.body
        self.body = b""
        return body if isinstance(body, bytes) else bytes(body)

    async def _receive_when_there(self) -> Message:
        if self.expects_continue:
            self.expects_continue = False
            # RFC 9110, section 10.1.1: none is needed once a part of the body is here.
            if self.upload is ARRIVING and not self.body and self.answer in (AWAITED, HEADED):
                self.connection.transport.write(heads.CONTINUE)
        while True:
            if self.upload is CUT or self.answer in _OVER:  # ASGI: also once the response is sent
                return {"type": "http.disconnect"}
            if self.upload is WHOLE or self.upload is LAST:
                self.upload = GIVEN if self.upload is WHOLE else CUT
                return {"type": "http.request", "body": self._take_body(), "more_body": False}
            if self.upload is ARRIVING and self.body:
                body = self._take_body()
                self.connection.adjust_reading()
                return {"type": "http.request", "body": body, "more_body": True}
            await self._news()

    async def _news(self) -> None:
        # One future for each waiter: cancelling one task must not cancel another's wait.
        waiter = self.connection.site.loop.create_future()
        if self._waiters is None:
            self._waiters = [waiter]
        else:
            self._waiters.append(waiter)
        await waiter

    def wake(self) -> None:
        waiters = self._waiters
        if waiters is not None:
            self._waiters = None
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def body_came(self, data: bytes) -> None:
        if self.answer in _OVER:
            return  # nobody will read it; the rest of the body is only skipped
        if not self.body:
            self.body = data
        elif self.body.__class__ is bytes:
            # Many small chunks share one buffer, so that their number costs no memory.
            self.body = bytearray(self.body)
            self.body += data
        else:
            self.body += data
        if self._waiters is not None:
            self.wake()

    def body_ended(self) -> None:
        self.upload = WHOLE
        if self._waiters is not None:
            self.wake()

    def disconnect(self) -> None:
        """From now on receive() says http.disconnect; send() still reaches the wire."""
        if self.upload is WHOLE:
            self.upload = LAST
        elif self.upload is not LAST:
            self.upload = CUT
            self.body = b""
        self.wake()

    def abandon(self) -> None:
        """The connection is lost."""
        if self.answer is not COMPLETE:
            self.answer = ABANDONED
            self.ended_ns = monotonic_ns()
        self.upload = CUT
        self.body = b""
        self.wake()

    @property
    def endless(self) -> bool:
        """Whether the response streams without a length, and so may never end by itself."""
        return self.answer is STREAMING and self._framing not in (Framing.LENGTH, Framing.NO_BODY)

    # -- send

    async def send(self, message: Message) -> None:
        answer = self.answer
        kind = message["type"]
        if answer is AWAITED and kind == "http.response.start":
            site = self.connection.site
            self.status = status = message["status"]
            self._head, self._length, closes = site.heads.encode(status, message.get("headers", ()))
            if closes:
                self.close_after()
            if len(message) > 3 and message.get("trailers"):
                self._length = WITH_TRAILERS
            self.answer = HEADED
            return
        if kind != "http.response.body" or answer is AWAITED or answer is COMPLETE:
            await self._send_rarely(kind, message)
            return
        body = message.get("body", b"")
        if body.__class__ is not bytes:
            body = _as_bytes(body)
        if answer is HEADED:
            if message.get("more_body", False):
                self._open_stream(body)
            else:
                self._answer_at_once(body)
        elif answer is STREAMING:
            self._stream(body, message.get("more_body", False))
        flow = self.connection.flow
        if flow.paused:
            await flow.drain()

    def close_after(self) -> None:
        """Tell the client, in the head that is yet to leave, that the connection ends with this response."""
        self.persistent = False
        self.connection_line = heads.CONNECTION_CLOSE

    async def _send_rarely(self, kind: str, message: Message) -> None:
        """The messages of the extensions that `extensions` in the scope names; any other is a mistake."""
        answer = self.answer
        if answer is AWAITED and kind == "http.response.early_hint":
            if self.scope["http_version"] != "1.0":  # RFC 9110, section 15.2
                self.connection.transport.write(self.connection.site.heads.early_hints(message.get("links", ())))
        elif answer is AWAITED and kind == "http.response.debug":
            logger.debug("%s: %r", self.describe(), message.get("info"))
        elif kind == "http.response.trailers":
            self._send_trailers(message)
        elif answer in (HEADED, STREAMING) and kind == "http.response.zerocopysend":
            await self._send_file(files.span_of(message), message.get("more_body", False))
        elif answer is HEADED and kind == "http.response.pathsend":
            span = await files.open_path(self.connection, message)
            try:
                await self._send_file(span, False)
            finally:
                os.close(span.fd)
        elif answer is not ABANDONED or kind not in _FILES:
            self._refuse_message(kind)

    async def _send_file(self, span: files.Span, more: bool) -> None:
        if self.answer is HEADED and not more:
            if self._has_no_body():
                self._end_without_body(b"", span.count)
                return
            if span.count <= JOINED_WRITE_BYTES:
                self._answer_at_once(await files.read(self.connection, span))
                return
            if self._length is None:
                self._length = span.count
        if self.answer is HEADED:
            self._open_stream(b"")
        framing = self._framing
        if framing is Framing.LENGTH:
            self._take_length(span.count, more)
        elif framing in (Framing.CHUNKED, Framing.TRAILED) and span.count:
            self._pending.append(self.connection.site.heads.size_line(span.count))
        self._flush()
        if framing is not Framing.NO_BODY:
            await files.transmit(self.connection, span, lambda: self.answer is STREAMING)
        if self.answer is not STREAMING:
            return
        if framing in (Framing.CHUNKED, Framing.TRAILED) and span.count:
            self._pending.append(b"\r\n")
        if framing is not Framing.LENGTH:
            self._stream(b"", more)
        elif not more:
            self.answer = COMPLETE
            self._ended()

    def _send_trailers(self, message: Message) -> None:
        if self.answer is STREAMING and self._framing is Framing.TRAILERS:
            self._pending.append(self.connection.site.heads.trailers(message.get("headers", ())))
            if not message.get("more_trailers", False):
                self._pending.append(heads.END_OF_HEAD)
                self._flush()
                self.answer = COMPLETE
                self._ended()
        elif self.answer is not ABANDONED and not (self.answer is COMPLETE and self._length == WITH_TRAILERS):
            # Complete without them is what HEAD asks for, and all that HTTP/1.0 has.
            self._refuse_message("http.response.trailers")

    def _has_no_body(self) -> bool:
        return self.status == 204 or self.status == 304 or self.scope["method"] == "HEAD"

    def _refuse_message(self, kind: str) -> None:
        if self.answer is ABANDONED and kind in ("http.response.start", "http.response.body"):
            return
        if self.answer is COMPLETE:
            raise MessageError(f"{kind!r} was sent after the end of the response")
        wanted = "http.response.start" if self.answer is AWAITED else "http.response.body"
        raise MessageError(f"{kind!r} was sent where {wanted!r} is due")

    def _answer_at_once(self, body: bytes) -> None:
        connection = self.connection
        length = self._length
        parts = self._head
        if self.expects_continue:
            self._settle_expectation()
        if self.status == 204 or self.status == 304 or self.scope["method"] == "HEAD":
            self._end_without_body(body)
            return
        if length is not None and length != len(body):
            if length != WITH_TRAILERS:
                raise _wrong_length(length, len(body))
            self._open_stream(b"")
            self._stream(body, False)
            return
        if self.connection_line:
            parts.append(self.connection_line)
        parts.append(connection.site.heads.length_line(len(body)))
        if len(body) > JOINED_WRITE_BYTES:  # a second write is cheaper than a copy
            connection.transport.write(b"".join(parts))
            connection.transport.write(body)
        else:
            parts.append(body)
            connection.transport.write(b"".join(parts))
        self.answer = COMPLETE
        self._ended()

    def _end_without_body(self, body: bytes, file_bytes: int = 0) -> None:
        if self.expects_continue:
            self._settle_expectation()
        if file_bytes and self._length is None and self.status != 304:
            self._length = file_bytes
        self._head.append(self._bodiless_end(len(body)))
        self.connection.transport.write(b"".join(self._head))
        self.answer = COMPLETE
        self._ended()

    def _bodiless_end(self, body_bytes: int) -> bytes:
        """The end of a head that no body follows (RFC 9110, sections 8.6, 9.3.2, 15.3.5 and 15.4.5)."""
        length = self._length
        if self.status == 204 or length == WITH_TRAILERS:
            length = None
        elif self.status == 304:
            if body_bytes:
                raise MessageError(f"a response with status 304 has no body; got {body_bytes} bytes")
        elif length is None and body_bytes:
            length = body_bytes
        if self.status == 204 and body_bytes:
            raise MessageError(f"a response with status 204 has no body; got {body_bytes} bytes")
        if length is None:
            return self.connection_line + heads.END_OF_HEAD
        return self.connection_line + self.connection.site.heads.length_line(length)

    def _settle_expectation(self) -> None:
        # RFC 9110, section 10.1.1: a client that was never told to continue may or may not send its body, so
        # that the next request cannot be told from it.
        self.expects_continue = False
        if self.upload is ARRIVING and not self.body:
            self.close_after()

    def _open_stream(self, body: bytes) -> None:
        parts = self._head
        if self.expects_continue:
            self._settle_expectation()
        if self.status == 204 or self.status == 304 or self.scope["method"] == "HEAD":
            self._framing = Framing.NO_BODY
            parts.append(self._bodiless_end(0))
        elif self._length is not None and self._length != WITH_TRAILERS:
            self._framing = Framing.LENGTH
            if len(body) > self._length:
                raise _wrong_length(self._length, len(body))
            parts += self.connection_line, self.connection.site.heads.length_line(self._length)
        elif self.scope["http_version"] == "1.0":
            self._framing = Framing.CLOSE
            self.close_after()
            parts += self.connection_line, heads.END_OF_HEAD
        else:
            self._framing = Framing.CHUNKED if self._length is None else Framing.TRAILED
            parts += self.connection_line, heads.CHUNKED_END_OF_HEAD
        self._pending = parts
        self._pending_bytes = 0
        self.answer = STREAMING
        self.connection.site.loop.call_soon(self._flush)
        self._stream(body, True)

    def _stream(self, body: bytes, more: bool) -> None:
        pending = self._pending
        was_empty = not pending
        framing = self._framing
        if framing is Framing.CHUNKED:
            if body:
                pending += self.connection.site.heads.size_line(len(body)), body, b"\r\n"
            if not more:
                pending.append(heads.LAST_CHUNK)
        elif framing is Framing.LENGTH:
            self._take_length(len(body), more)
            pending.append(body)
        elif framing is Framing.CLOSE:
            pending.append(body)
        elif framing is Framing.TRAILED or framing is Framing.TRAILERS:
            self._stream_trailed(body, more)
            return
        elif body and self.scope["method"] != "HEAD":
            raise MessageError(f"a response with status {self.status} has no body; got {len(body)} bytes")
        self._pending_bytes += len(body)
        if not more:
            self._flush()
            self.answer = COMPLETE
            self._ended()
        elif self._pending_bytes > JOINED_WRITE_BYTES:
            self._flush()
        elif was_empty and pending:
            self.connection.site.loop.call_soon(self._flush)

    def _stream_trailed(self, body: bytes, more: bool) -> None:
        if self._framing is Framing.TRAILERS:
            raise MessageError("'http.response.body' was sent where 'http.response.trailers' is due")
        if body:
            self._pending += self.connection.site.heads.size_line(len(body)), body, b"\r\n"
        if not more:
            self._pending.append(heads.LAST_SIZE)
            self._framing = Framing.TRAILERS
        self._flush()

    def _take_length(self, size: int, more: bool) -> None:
        left = (self._length or 0) - size
        self._length = left
        if left < 0:
            raise MessageError(f"the response body is at least {-left} bytes longer than its content-length")
        if left and not more:
            raise MessageError(f"the response body ended {left} bytes short of its content-length")

    def _flush(self) -> None:
        pending = self._pending
        if pending and self.answer is not ABANDONED:
            self._pending = []
            self._pending_bytes = 0
            self.connection.transport.write(b"".join(pending))

    def _ended(self) -> None:
        connection = self.connection
        site = connection.site
        if site.timed:
            self.ended_ns = monotonic_ns()
            if site.observed:
                took_ns = self.ended_ns - self.began_ns
                if took_ns > SLOW_NS:
                    site.lately.append(self)
                stride = site.stride
                if stride:
                    site.ended = ended = site.ended + 1
                    if not ended % stride:
                        scope = self.scope
                        route = scope.get("route") or scope.get("path_template") or scope["path"]
                        site.noted.append((scope["method"], route, took_ns))
            if site.access_log is not None:
                site.access_log.record(self)
        if self._waiters is not None:
            self.wake()
        connection.answered(self)


def _as_bytes(body: Any) -> bytes:
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(body)
    raise MessageError(f"the body of http.response.body is bytes; got {type(body).__name__}")


def _wrong_length(declared: int, given: int) -> MessageError:
    return MessageError(f"content-length is {declared} bytes, but the response body has {given}")

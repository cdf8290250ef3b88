"""The transport's side of a WebSocket: frames in and out, pings, the closing handshake (RFC 6455, section 7)."""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import TYPE_CHECKING

from loophound.server.flow import WriteFlow
from loophound.server.websocket.frames import (
    ABNORMAL,
    BINARY,
    CLOSE,
    INTERNAL_ERROR,
    PING,
    SERVICE_RESTART,
    TEXT,
    FrameReader,
    Violation,
    close_payload,
    compressed_frame,
    frame_head,
    read_close,
)
from loophound.server.websocket.handshake import Handshake
from loophound.server.websocket.offer import WebSocketOptions
from loophound.server.websocket.session import Session
from loophound.server.websocket.states import CLOSED, CLOSING, CONNECTING, DENYING, FAILED, OPEN, State

if TYPE_CHECKING:
    from loophound.server.bounds import Timeouts
    from loophound.server.cycle import Cycle
    from loophound.server.seat import Give
    from loophound.server.site import Site

# How long the client's Close, or its end of the connection, is waited for.
CLOSE_TIMEOUT_S = 5.0
# A client that has said nothing for so long after our Close has read it, and may itself wait for the end.
SILENCE_S = 1.0
# Messages that the application has not received: reading pauses above so many bytes, whatever their number.
QUEUE_HIGH_WATER_BYTES = 1_048_576
JOINED_WRITE_BYTES = 65_536
_PING = frame_head(PING, 0)


class WebSocketConnection(asyncio.Protocol):
    """Takes over the transport of an HTTP connection whose request is a WebSocket handshake."""

    __slots__ = (
        "_deflate",
        "_heard_s",
        "_options",
        "_pinged_s",
        "_pong_due",
        "_queued_bytes",
        "_reader",
        "_reading",
        "_since_s",
        "client",
        "client_text",
        "flow",
        "handshake",
        "session",
        "site",
        "state",
        "transport",
    )

    waiting = ()  # requests behind the current one, which this kind of connection has not

    def __init__(
        self, site: Site, transport: asyncio.Transport, request: Cycle, handshake: Handshake, options: WebSocketOptions
    ) -> None:
        self.site = site
        self.transport = transport
        self.client = request.connection.client
        self.client_text = request.connection.client_text
        self.flow = WriteFlow(site.loop)
        self.handshake = handshake
        self.state = CONNECTING
        self._options = options
        self._deflate = handshake.deflate
        self._reader = FrameReader(options.max_size, handshake.deflate)
        self._reading = True
        self._queued_bytes = 0
        self._since_s = site.now_s  # when the state began, as the sweep counts time
        self._heard_s = self._pinged_s = site.now_s
        self._pong_due: bytes | None = None
        request.connection = self
        self.session: Session | None = Session(self, request)

    def start(self, context: Context) -> None:
        """Run the application, in a context of its own."""
        session, site = self.session, self.site
        assert session is not None
        # Not by an argument of create_task: task factories of applications need not take it.
        session.task = context.run(site.loop.create_task, session.run(site.app))

    @property
    def cycle(self) -> Session | None:
        """The current exchange."""
        return self.session

    # -- the transport's side

    def connection_lost(self, exc: Exception | None) -> None:
        session = self.session
        assert session is not None
        self.state = CLOSED
        self.flow.resume()
        session.end(ABNORMAL)
        self.site.adopt(session)
        self.site.left(self)
        self.session = None  # it refers to this object

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self.flow.pause()

    def resume_writing(self) -> None:
        self.flow.resume()
        if self._pong_due is not None and self.state is OPEN:
            payload, self._pong_due = self._pong_due, None
            self._pong(payload)

    def data_received(self, data: bytes) -> None:
        self._heard_s = self.site.now_s
        if self.state is OPEN or self.state is CLOSING:
            self._reader.feed(data)
            self._take_frames()
        elif self.state is CONNECTING:
            # RFC 6455, section 4.1, has the client wait for the 101.
            self._reader.feed(data)
            self._pause_reading()

    # -- frames in

    def _take_frames(self) -> None:
        reader = self._reader
        session = self.session
        if session is None:
            return
        inbox = session.inbox
        try:
            while self._reading or self.state is CLOSING:
                event = reader.next()
                if event is None:
                    break
                opcode, payload = event
                if opcode == TEXT:
                    message = {"type": "websocket.receive", "text": payload}
                elif opcode == BINARY:
                    message = {"type": "websocket.receive", "bytes": payload}
                else:
                    self._control(opcode, payload)
                    if self.state is CLOSED:
                        break
                    continue
                if self.state is OPEN:
                    inbox.append(message)
                    self._queued_bytes += len(payload)
                    if len(inbox) >= self._options.max_queue or self._queued_bytes > QUEUE_HIGH_WATER_BYTES:
                        self._pause_reading()
        except Violation as violation:
            self._fail(violation.code, str(violation))
        if inbox:
            session.wake()

    def _control(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            # Section 5.5.3: of several pings only the last need be answered. Who does not read our pongs
            # must not fill our memory with them.
            if self.flow.paused:
                self._pong_due = payload
            elif self.state is OPEN:
                self._pong(payload)
        elif opcode == CLOSE:
            code, reason = read_close(payload)
            if self.state is OPEN:
                self._write_close(payload[:2])
            self._ended(CLOSED, code, reason)
            self.transport.close()

    def _pause_reading(self) -> None:
        if self._reading:
            self._reading = False
            self.transport.pause_reading()

    def _resume_reading(self) -> None:
        self._reading = True
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def drained(self) -> None:
        """The application has received every message that was queued."""
        self._queued_bytes = 0
        if not self._reading and self.state is OPEN:
            # In a turn of its own: one read may hold 30,000 messages, and others wait for the loop.
            self.site.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        """Take the frames that came with the one that filled the queue, then read on."""
        if not self._reading and self.state is OPEN:
            self._reading = True
            self._take_frames()
            if self._reading:
                self._resume_reading()

    # -- frames out

    def write_message(self, opcode: int, payload: bytes) -> None:
        if self._deflate is None:
            head = frame_head(opcode, len(payload))
        else:
            head, payload = compressed_frame(self._deflate, opcode, payload)
        if len(payload) > JOINED_WRITE_BYTES:  # a second write is cheaper than a copy
            self.transport.write(head)
            self.transport.write(payload)
        else:
            self.transport.write(head + payload)

    def _pong(self, payload: bytes) -> None:
        self.transport.write(frame_head(PING + 1, len(payload)) + payload)

    def _write_close(self, payload: bytes) -> None:
        self.transport.write(frame_head(CLOSE, len(payload)) + payload)

    # -- states

    def opened(self, response: bytes) -> None:
        """The application has accepted; `response` is the 101."""
        self.transport.write(response)
        self.state = OPEN
        self._heard_s = self._pinged_s = self.site.now_s
        self.drained()

    def close(self, code: int, reason: str | None) -> None:
        """Begin the closing handshake. Raises ValueError for a code or a reason that cannot be sent."""
        self._write_close(close_payload(code, reason or ""))
        self._ended(CLOSING, code, reason)
        self._take_frames()
        if self.state is CLOSING and not self._reading:
            self._resume_reading()

    def _fail(self, code: int, reason: str) -> None:
        """Section 7.1.7: say why, read nothing more, and close."""
        if self.state is OPEN:
            self._write_close(close_payload(code, reason))
        self._ended(FAILED, code, reason)
        if not self.transport.can_write_eof():  # TLS, which reads on by itself until the client has closed too
            self.transport.close()
            return
        # Half-closed: closing at once would reset the connection, and our Close with it, when bytes lie unread.
        try:
            self.transport.write_eof()
        except OSError:  # asyncio's shutdown(2) finds the client gone before its loop does
            self.transport.abort()
            return
        if not self._reading:
            self._resume_reading()

    def _ended(self, state: State, code: int, reason: str | None) -> None:
        self.state = state
        self._since_s = self.site.now_s
        self._pong_due = None
        if self.session is not None:
            self.session.end(code, reason)

    def answered(self, cycle: Cycle) -> None:
        """The response that denies the handshake is complete, or given up."""
        self._ended(CLOSED, ABNORMAL, None)
        self.transport.close()

    def adjust_reading(self) -> None:
        """A handshake has no body to read."""

    def stop(self) -> None:
        """The server stops: 1012 tells the client to come back."""
        session = self.session
        if session is None:
            return
        if self.state is OPEN:
            self.close(SERVICE_RESTART, None)
        elif self.state is CONNECTING:
            session.request.give_up(503, "Service Unavailable")

    def retire(self, give: Give) -> None:
        """Another process takes over; the state of a WebSocket cannot move to it."""
        self.stop()

    def sweep(self, now_s: float, timeouts: Timeouts) -> None:
        """Act on time-outs; called once a sweep."""
        if self.state is OPEN:
            self._keep_alive(now_s)
        elif self.state is FAILED and now_s - max(self._since_s, self._heard_s) >= SILENCE_S:
            self.transport.close()
        elif self.state not in (CONNECTING, DENYING) and now_s - self._since_s >= CLOSE_TIMEOUT_S:
            self.transport.abort()

    def _keep_alive(self, now_s: float) -> None:
        timeout_s, interval_s = self._options.ping_timeout_s, self._options.ping_interval_s
        if interval_s is None:
            return
        if not self._reading:
            self._heard_s = now_s  # what lies unread proves nothing
        # Whatever is heard is a sign of life, for a pong waits behind a long message.
        if self._pinged_s > self._heard_s and timeout_s is not None:
            if now_s - self._pinged_s >= timeout_s:
                self._fail(INTERNAL_ERROR, "keepalive ping timeout")
        elif now_s - self._pinged_s >= interval_s:
            self._pinged_s = now_s
            self.transport.write(_PING)

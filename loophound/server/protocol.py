"""An HTTP/1.1 connection: what the transport tells, requests in order, time-outs and its end.

What it reads, and the phases of that, are reader.RequestReader's.
"""

from __future__ import annotations

import asyncio
import logging
from contextvars import Context
from functools import cache
from typing import cast

from loophound.server.access_log import client_text
from loophound.server.bounds import Timeouts
from loophound.server.cycle import ABANDONED, ARRIVING, AWAITED, COMPLETE, HEADED, STREAMING, Cycle
from loophound.server.flow import WriteFlow
from loophound.server.lineage import context_of, marked
from loophound.server.proxy_header import ProxyHeader
from loophound.server.reader import BODY, CLOSED, DEAF, HEAD, IDLE, LINGERING, RequestReader
from loophound.server.refusals import Refusal
from loophound.server.seat import Give, give_away

logger = logging.getLogger("loophound.server")

# How long the rest of an unread body, or what follows a refusal, is thrown away before the connection closes.
# Closing at once would reset the connection, and the response with it (RFC 9112, section 9.6).
LINGER_S = 5.0
# How long a connection that is idle keeps its last request: an observer may ask for it.
FORGOTTEN_S = 2.0

_NO_CONTEXT = Context()
_WATCHED = frozenset({b"content-length", b"transfer-encoding", b"connection", b"expect", b"upgrade"})


class HttpConnection(RequestReader):
    """One connection: what the transport tells, requests in order, and the end."""

    __slots__ = ()

    # -- the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        # Never the socket itself: wrapping it costs 26 µs a connection on uvloop.
        peer = transport.get_extra_info("peername")
        if type(peer) is tuple:
            self.client = (peer[0], peer[1])
            if self.server is None:
                own = transport.get_extra_info("sockname")
                self.server = (own[0], own[1])
        else:
            self.client = None
            own = transport.get_extra_info("sockname")
            self.server = (own, None) if own and type(own) is str else None
        self.tls = None if self.site.tls is None else self.site.tls.extension(transport)
        self._extensions = self.site.extensions if self.tls is None else {**self.site.extensions, "tls": self.tls}
        if self.site.write_limits:
            self.transport.set_write_buffer_limits(*self.site.write_limits)
        self.scheme = self.site.scheme
        self._stays = self.tls is not None
        self._weigh_proxies()
        self._context = context_of(self) if self.site.observed else self.site.context
        self.site.connections.add(self)
        if self.site.stopping:  # accepted just before the listener closed
            self.stop()

    def _weigh_proxies(self) -> None:
        proxies = self.site.proxies
        trusted = proxies is not None and proxies.trusts(self.client)
        self._proxies = proxies if trusted else None
        self._watched = _watched_of(proxies.headers) if proxies is not None and trusted else _WATCHED

    def speaks_for(self, header: ProxyHeader) -> None:
        """Take the client that the PROXY protocol names for the one that made this connection."""
        self._stays = True  # another process could not tell
        if header.client is not None:
            self.client, self.server = header.client, header.server
        elif header.unix:
            self.client = None
        if header.tls:
            self.scheme = "https"
        self._weigh_proxies()

    def connection_lost(self, exc: Exception | None) -> None:
        self.phase = CLOSED
        self._parser = None  # the parser and this object refer to each other
        self._unfed = b""
        self.flow.resume()
        self.waiting.clear()
        cycle, incoming = self.cycle, self._incoming
        if cycle is not None:
            cycle.abandon()
            self.site.adopt(cycle)
        if incoming is not None and incoming is not cycle:
            incoming.abandon()
            self.site.adopt(incoming)
        self.site.left(self)
        # They refer to this object: as long as it referred to them, each connection would leave a
        # cycle of references for the garbage collector.
        self.cycle = self._incoming = self._unmoved = None
        self._context = _NO_CONTEXT

    def eof_received(self) -> bool:
        """The client says no more. What it asked for whole is still answered (RFC 9112, section 9.6)."""
        cycle = self.cycle
        if cycle is None or cycle.answer in (COMPLETE, ABANDONED) or self.phase in (BODY, LINGERING):
            return False
        if self.tls is not None:  # asyncio's TLS ends both directions at once
            return False
        # A client that is gone looks the same: whoever listens is told so.
        self.phase = DEAF
        cycle.close_after() if not self.waiting else self.waiting[-1].close_after()
        cycle.disconnect()
        return True

    @property
    def client_text(self) -> str:
        """The client's address as log lines have it."""
        return client_text(self.client)

    def pause_writing(self) -> None:
        if self.flow is self.site.open_flow:
            self.flow = WriteFlow(self.site.loop)
        self.flow.pause()

    def resume_writing(self) -> None:
        self.flow.resume()
        if self.phase is not CLOSED and not self._busy():
            self._go_on()

    # -- requests in order

    def _start(self, cycle: Cycle) -> None:
        site = self.site
        if self._handshake is not None and cycle is self._incoming:
            self._hand_over()
        elif not site.observed:
            cycle.task = site.loop.create_task(cycle.run(site.app))
        else:
            context = marked(self._context, cycle.scope) if site.marks_each else self._context
            cycle.task = context.run(site.loop.create_task, cycle.run(site.app))

    def _start_next(self, cycle: Cycle) -> None:
        """Start a request from where another one may run: that one's context variables are not passed on."""
        site = self.site
        if self._handshake is not None and cycle is self._incoming:
            self._hand_over()
            return
        # A copy in any case, for an eager task may have led here, with the context still entered.
        context = marked(self._context, cycle.scope) if site.marks_each else self._context.copy()
        cycle.task = context.run(site.loop.create_task, cycle.run(site.app))

    def _hand_over(self) -> None:
        """Leave the transport to a WebSocket: its handshake is the next request to be answered."""
        from loophound.server.websocket.connection import WebSocketConnection

        request, handshake, options = self.cycle, self._handshake, self.site.websocket
        assert request is not None
        assert handshake is not None
        assert options is not None
        if self.phase is DEAF:  # the client has said its last
            self.transport.close()
            return
        connection = WebSocketConnection(self.site, self.transport, request, handshake, options)
        self.site.connections.discard(self)
        self.site.connections.add(connection)
        self.transport.set_protocol(connection)
        self.phase = CLOSED
        self._parser = None
        self.cycle = self._incoming = None
        if not self._reading:
            self.transport.resume_reading()
        if self._unfed:
            connection.data_received(self._unfed)
        connection.start(self._context.copy())
        self._context = _NO_CONTEXT  # as when the connection is lost

    def answered(self, cycle: Cycle) -> None:
        """A cycle's response is complete, or given up."""
        if cycle.answer is ABANDONED:
            self.transport.close()
        elif not cycle.persistent:
            self.waiting.clear()
            self._farewell = b""  # to a request after this one, which is the last that is answered
            self._part()
        elif self.waiting or self._farewell or self.phase is BODY or not self._reading:
            self._go_on()
        else:
            self.since_s = self.site.now_s

    def _go_on(self) -> None:
        self.since_s = self.site.now_s
        incoming = self._incoming
        if incoming is not None and incoming.answer is COMPLETE:
            incoming.body = b""  # nobody will receive it, and the rest of it is only skipped
        if self.waiting:
            if self.flow.paused:
                return  # the client does not read its answers; resume_writing() comes back here
            last = self.cycle
            if last is not None:
                self.site.adopt(last)
            self.cycle = self.waiting.popleft()
            self._start_next(self.cycle)
        elif self._farewell:
            self._part()
        self.adjust_reading()

    def _full(self) -> bool:
        incoming = self._incoming
        return (
            self._crowded()
            or (incoming is not None and len(incoming.body) > self.site.unread_bytes)
            or self._handshake is not None
        )

    def adjust_reading(self) -> None:
        """Read while there is room for what comes."""
        if self.phase is CLOSED:
            return
        if self._full():
            if self._reading:
                self._reading = False
                self.transport.pause_reading()
            return
        if self._unfed:
            data, self._unfed = self._unfed, b""
            self._receive_slices(data)
            cycle = self.cycle
            if cycle is not None and cycle.task is None and cycle.answer is AWAITED:
                self._start_next(cycle)
            if self._unfed or self.phase is CLOSED or self._full():
                return
        if not self._reading and not self.transport.is_closing():
            self._reading = True
            # In the connection's own context: asyncio would go on reading in that of the request which is at
            # work, and the next request would inherit its variables.
            self._context.copy().run(self.transport.resume_reading)

    # -- the end

    def _refuse(self, refusal: Refusal) -> None:
        """Answer a request that cannot be served, after those before it; then close."""
        self._refusal = refusal
        logger.info("%s: refused with %d: %s", self.client_text, refusal.status, refusal)
        to_head = self._parser.get_method() == b"HEAD"
        self._farewell = self.site.heads.farewell(refusal.status, str(refusal), refusal.headers, to_head=to_head)
        in_body = self.phase is BODY
        self.phase = DEAF
        broken = self._incoming
        if in_body and broken is not None:
            if self.waiting and self.waiting[-1] is broken:
                self.waiting.pop()
            elif broken.answer is AWAITED or broken.answer is HEADED:
                broken.abandon()  # the refusal takes the place of its answer
            else:
                broken.disconnect()
                broken.persistent = False
                self._farewell = b""
                if broken.answer is COMPLETE:
                    self._part()
                return
        if not self._busy() and not self.waiting:
            self._part()

    def _part(self) -> None:
        """Send what is left to say and close."""
        if self.phase is CLOSED or self.phase is LINGERING:
            return
        transport = self.transport
        if self._farewell:
            transport.write(self._farewell)
            self._farewell = b""
        incoming = self._incoming
        body_came = incoming is None or incoming.upload is not ARRIVING
        if self._refusal is None and body_came and not self._unfed and self.phase is not HEAD:
            transport.close()
            return
        self._begin(LINGERING, 0)
        self._unfed = b""
        if self.tls is None and not transport.is_closing():  # TLS has no half-closed connections
            try:
                transport.write_eof()
            except OSError:  # asyncio's shutdown(2) finds the client gone before its loop does
                transport.abort()
                return
        if not self._reading:
            self._reading = True
            transport.resume_reading()

    def stop(self) -> None:
        """The server stops: end now if idle, else with the response at work."""
        self.waiting.clear()
        cycle = self.cycle
        if not self._busy() or cycle is None:
            if self.phase is not LINGERING:
                self._leave()
            return
        cycle.close_after()
        if cycle.endless:
            cycle.disconnect()

    def retire(self, give: Give) -> None:
        """Another process takes over: give the connection away as soon as it is idle.

        TLS cannot move to another process. Such a connection ends with its next response, or when it has
        been idle for long: closing it now might cross a request on its way.
        """
        cycle = self.cycle
        if self._busy() and cycle is not None:
            if cycle.answer is not STREAMING and self._stays:
                cycle.close_after()
            if cycle.endless:
                cycle.disconnect()
        elif self._at_rest() and give_away(self.transport, give):
            self.phase = CLOSED

    def _at_rest(self) -> bool:
        """Whether nothing of this connection is in this process alone."""
        return (
            self.phase is IDLE
            and not (self._stays or self._stray_after is self._incoming)
            and not (self.waiting or self._unfed or self._farewell)
            and self._reading
            and not self.transport.is_closing()
            and not self.transport.get_write_buffer_size()
        )

    def _leave(self) -> None:
        """Close while idle."""
        self.transport.close()
        if self.tls is not None:
            # close() has sent close_notify and would wait for the client's, which an idle client does
            # not send; nobody has to wait for it (RFC 8446, section 6.1).
            self.transport.abort()

    def sweep(self, now_s: float, timeouts: Timeouts) -> None:
        """Act on time-outs; called once a sweep."""
        if self.phase is BODY:
            self._sweep_body(now_s, timeouts.body_s)
            return
        self._unmoved = None
        idle_s = now_s - self.since_s
        if self.phase is LINGERING:
            if idle_s >= LINGER_S:
                self.transport.abort()
        elif self._busy() or self.waiting:
            return
        elif self.phase is IDLE:
            if idle_s >= timeouts.keep_alive_s:
                self._leave()
            elif idle_s >= FORGOTTEN_S:
                self._forget()
        elif self.phase is HEAD:
            if idle_s >= timeouts.head_s:
                self._refuse(Refusal(408, "The head of the request took too long"))
        elif idle_s >= LINGER_S:  # answered, but the rest of its body does not come
            self.transport.close()

    def _forget(self) -> None:
        """Let go of the last request, which takes 3 KiB of an idle connection."""
        cycle = self.cycle
        if cycle is not None and (cycle.task is None or cycle.task.done()):
            self.cycle = self._incoming = None

    def _sweep_body(self, now_s: float, body_s: float) -> None:
        """Act on a body that does not come on. What is noted here, and not as it comes, costs requests nothing."""
        cycle = cast(Cycle, self._incoming)
        answered = cycle.answer is COMPLETE
        asked = not cycle.expects_continue or answered or bool(cycle.body)
        moved = self._unmoved is None or self._unmoved[0] is not cycle or self._unmoved[1] != self._body_left
        if moved or not self._reading or not asked:  # the next piece is not the client's to send yet
            self._unmoved = cycle, self._body_left
            self.since_s = now_s
        elif answered:
            if now_s - self.since_s >= LINGER_S:
                self.transport.close()
        elif now_s - self.since_s >= body_s:
            self._refuse(Refusal(408, "The body of the request took too long"))


@cache
def _watched_of(proxy_headers: frozenset[bytes]) -> frozenset[bytes]:
    return _WATCHED | proxy_headers

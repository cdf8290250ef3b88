"""An HTTP/1.1 connection: bytes in, requests in order, time-outs and its end.

Input phases (what the parser is in the middle of); the answer's states are cycle.Answer:

    IDLE ─► HEAD ─► BODY ─► IDLE         a request, and the next
      └──────┴───────┴─► DEAF            no further request is read: the last response is due
                           └─► LINGERING the last response is out, what comes is thrown away
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextvars import Context
from enum import Enum, auto
from functools import cache
from time import monotonic_ns
from typing import TYPE_CHECKING, Any, cast

import httptools

from loophound.server import heads
from loophound.server.asgi import ASGI_VERSION, HTTP_SPEC_VERSION
from loophound.server.bounds import Timeouts
from loophound.server.cycle import ABANDONED, ARRIVING, AWAITED, COMPLETE, HEADED, STREAMING, Cycle
from loophound.server.flow import WriteFlow
from loophound.server.heads import TOKEN
from loophound.server.lineage import context_of, marked
from loophound.server.malformed import refusal_of
from loophound.server.proxy_header import ProxyHeader
from loophound.server.refusals import Refusal
from loophound.server.seat import Give, give_away
from loophound.server.site import Site
from loophound.server.targets import TargetError, split_absolute
from loophound.server.upgrades import parser_of_the_rest
from loophound.server.websocket.offer import asked_for

if TYPE_CHECKING:
    from loophound.server.websocket.handshake import Handshake

logger = logging.getLogger("loophound.server")

# Requests that wait behind the one being answered; then reading pauses.
MAX_PIPELINED = 16
# For each byte of a chunked body so many more may come as sizes, line ends and extensions, beyond that
# limit: the smallest chunk of one byte has six, with a zero or two before its size eight.
CHUNK_OVERHEAD = 16
# What the trailers, or what a chunked body has besides its chunks, may have of the limit of a head. It is counted by
# slices of the input, but for the first and the last one of a request.
TRAILERS_SHARE = 4
# How long the rest of an unread body, or what follows a refusal, is thrown away before the connection closes.
# Closing at once would reset the connection, and the response with it (RFC 9112, section 9.6).
LINGER_S = 5.0
# How long a connection that is idle keeps its last request: an observer may ask for it.
FORGOTTEN_S = 2.0


class Phase(Enum):
    """What the parser is in the middle of."""

    IDLE = auto()
    HEAD = auto()
    BODY = auto()
    UPGRADE = auto()  # the head asked for a protocol that is not spoken here; its body is to be read yet
    DEAF = auto()
    LINGERING = auto()
    CLOSED = auto()


IDLE, HEAD, BODY, UPGRADE = Phase.IDLE, Phase.HEAD, Phase.BODY, Phase.UPGRADE
DEAF, LINGERING, CLOSED = Phase.DEAF, Phase.LINGERING, Phase.CLOSED

_METHODS = {
    name.encode(): name for name in ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
}
_NO_CONTEXT = Context()
_NOTHING = object()
_NONE_WAIT: deque[Cycle] = deque()  # shared, and always empty: a deque of its own costs each connection 700 bytes
_WATCHED = frozenset({b"content-length", b"transfer-encoding", b"connection", b"expect", b"upgrade"})


class HttpConnection(asyncio.Protocol):
    """One connection; the parser's callbacks are its `on_` methods."""

    __slots__ = (
        "_body_left",
        "_context",
        "_extensions",
        "_farewell",
        "_handshake",
        "_headers",
        "_host",
        "_incoming",
        "_marks",
        "_overhead_bytes",
        "_parser",
        "_proxies",
        "_reading",
        "_refusal",
        "_stays",
        "_stray_after",
        "_stuck_bytes",
        "_target",
        "_trailer_bytes",
        "_unfed",
        "_unmoved",
        "_watched",
        "client",
        "cycle",
        "flow",
        "phase",
        "scheme",
        "server",
        "since_s",
        "site",
        "tls",
        "transport",
        "waiting",
    )

    transport: asyncio.Transport

    def __init__(self, site: Site, server: tuple[str, int | None] | None = None) -> None:
        """`server` is the own address, where the listener knows it: to ask the kernel costs each connection 1 µs."""
        self.site = site
        self.server = server
        self.flow = site.open_flow
        self.phase = IDLE
        self.since_s = site.now_s  # when the phase began, or the last response ended
        self.cycle: Cycle | None = None  # the request being answered, or the last one
        self.waiting = _NONE_WAIT
        self._incoming: Cycle | None = None  # the request being read, or the last one
        self._parser: Any = httptools.HttpRequestParser(self)
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._host: bytes | None = None
        self._marks: dict[bytes, bytes] = {}
        self._body_left = 0  # of Content-Length; less than 0 is what came of a chunked body
        self._stuck_bytes = 0
        self._overhead_bytes = self._trailer_bytes = 0  # set anew by each request with a chunked body
        self._unmoved: tuple[Cycle, int] | None = None  # how far the body was at the last sweep
        self._unfed = b""
        self._reading = True
        self._refusal: Refusal | None = None
        self._farewell = b""
        self._handshake: Handshake | None = None  # the last request's, which asks for a WebSocket
        # The request after which the first bytes of a request line came, too few to be seen in the phase.
        self._stray_after: object = _NOTHING

    # -- the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        # Never the socket itself: wrapping it costs 26 µs a connection on uvloop.
        peer = transport.get_extra_info("peername")
        if type(peer) is tuple:
            self.client: tuple[str, int] | None = (peer[0], peer[1])
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
        client = self.client
        if client is None:
            return "unix"
        host, port = client
        return f"{host}:{port}" if ":" not in host else f"[{host}]:{port}"

    def pause_writing(self) -> None:
        if self.flow is self.site.open_flow:
            self.flow = WriteFlow(self.site.loop)
        self.flow.pause()

    def resume_writing(self) -> None:
        self.flow.resume()
        if self.phase is not CLOSED and not self._busy():
            self._go_on()

    def data_received(self, data: bytes) -> None:
        if self.phase is IDLE and len(data) <= self.site.slice_bytes:
            try:
                self._parser.feed_data(data)
            except Exception as error:
                self._parser_stopped(error, data)
            else:
                if self._target or self._headers:
                    self._begin(HEAD, len(data))
        else:
            self._receive_slices(data)
        # Only now, so that the body of a small request is whole before its application starts.
        cycle = self.cycle
        if cycle is not None and cycle.task is None and cycle.answer is AWAITED:
            self._start(cycle)
        elif self.phase is IDLE and not self._busy():
            self._stray_after = self._incoming

    def _begin(self, phase: Phase, stuck_bytes: int) -> None:
        self.phase = phase
        self._stuck_bytes = stuck_bytes
        self.since_s = self.site.now_s

    def _receive_slices(self, data: bytes) -> None:
        if self.phase is DEAF or self.phase is LINGERING or self.phase is CLOSED:
            return
        if self._unfed:
            self._unfed += data
            return
        view = memoryview(data)
        slice_bytes = self.site.slice_bytes
        offset = 0
        while offset < len(data):
            if self._crowded():
                self._unfed += data[offset:]
                self.adjust_reading()
                return
            whole = self.phase is BODY and self._body_left >= len(data) - offset
            piece = view[offset:] if whole else view[offset : offset + slice_bytes]
            offset += len(piece)
            if not self._feed_slice(piece):
                if self._handshake is not None:
                    self._unfed += data[offset:]
                return

    def _feed_slice(self, piece: memoryview) -> bool:
        """Feed the parser and hold it to the limits; False when nothing more is to be read."""
        phase = self.phase
        incoming = self._incoming
        body_left = self._body_left
        try:
            self._parser.feed_data(piece)
        except Exception as error:
            self._parser_stopped(error, bytes(piece))
            return self.phase in (IDLE, HEAD, BODY)
        if self.phase is IDLE:
            if self._target or self._headers:
                self._begin(HEAD, len(piece))
        elif self.phase is phase and incoming is self._incoming:
            self._bound(len(piece), body_left - self._body_left)
        return self.phase in (IDLE, HEAD, BODY)

    def _bound(self, size: int, body_size: int) -> None:
        """Bound what is no body in pieces that end no head and no request: `body_size` of `size` bytes are body."""
        most = self.site.bounds.head
        if self.phase is HEAD:
            self._stuck_bytes += size
            if self._stuck_bytes > most:
                self._refuse(Refusal(431, f"Head of more than {most} bytes"))
        else:
            self._overhead_bytes += size - body_size
            if self._overhead_bytes > most // TRAILERS_SHARE - CHUNK_OVERHEAD * min(self._body_left, 0):
                self._refuse(Refusal(431, f"Trailers or chunk extensions of more than {most // TRAILERS_SHARE} bytes"))

    def _parser_stopped(self, error: Exception, data: bytes) -> None:
        if isinstance(error, httptools.HttpParserUpgrade):
            self._read_on_after_upgrade(data[error.args[0] :])
            return
        if self.phase is DEAF:  # bytes after the last request, which are nobody's
            return
        refusal = self._refusal
        if refusal is None:
            if isinstance(error.__context__, Exception) and isinstance(error, httptools.HttpParserCallbackError):
                logger.error("Loophound failed to read a request", exc_info=error.__context__)
                refusal = Refusal(500, "Internal Server Error")
            else:
                refusal = refusal_of(error, data)
        self._refuse(refusal)

    def _read_on_after_upgrade(self, rest: bytes) -> None:
        """Read the body that httptools takes for another protocol's bytes, and go on with HTTP.

        A server that does not speak the protocol ignores Upgrade (RFC 9110, section 7.8).
        """
        cycle = self._incoming
        assert cycle is not None
        if self._handshake is not None:
            self._unfed = rest
            if cycle is not self.cycle:
                self.adjust_reading()  # which pauses until the requests before it are answered
            return
        if b"transfer-encoding" in self._marks:
            framing = b"Transfer-Encoding: chunked"
        else:
            framing = b"Content-Length: " + self._marks.get(b"content-length", b"0")
        self._marks = {}
        self.phase = BODY
        self._parser = parser_of_the_rest(self, framing)
        if rest:
            self._receive_slices(rest)

    # -- the parser's side

    def on_url(self, piece: bytes) -> None:
        self._target += piece
        if len(self._target) > self.site.target_bytes:
            raise self._refused(414, f"Request line of more than {self.site.bounds.request_line} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.phase is BODY:  # a trailer field, which ASGI has no place for
            self._trailer_bytes += len(name) + len(value) + 4
            most = self.site.bounds.head // TRAILERS_SHARE
            if self._trailer_bytes > most:
                raise self._refused(431, f"Trailers of more than {most} bytes")
            return
        name = name.lower()
        value = value.rstrip()  # RFC 9112, section 5.1; llhttp leaves white space at the end
        self._headers.append((name, value))
        if name == b"host":
            if self._host is not None:
                raise self._refused(400, "More than one Host header")
            if not self.site.targets.valid_host(value):
                raise self._refused(400, "Invalid Host header")
            self._host = value
        elif name in self._watched:
            self._marks[name] = self._marks[name] + b"," + value if name in self._marks else value

    def on_headers_complete(self) -> None:
        parser = self._parser
        marks = self._marks
        site = self.site
        method = _METHODS.get(parser.get_method()) or parser.get_method().decode("ascii")
        persistent = parser.should_keep_alive() and site.keeps_alive
        # get_http_version() formats a string; a persistent request without Connection can only be 1.1.
        http_version = "1.1" if persistent and not marks else parser.get_http_version()
        if marks or self._host is None or method == "CONNECT" or http_version != "1.1":
            self._check_head(method, http_version)
        headers = self._headers
        if len(headers) > site.most_headers:
            raise self._refused(431, f"More than {site.most_headers} header fields")
        if self.phase is HEAD:  # it came in pieces: one that came at once is no longer than a slice
            self._measure_head()
        raw_path, _, query = self._target.partition(b"?")
        if query and b"#" in query:
            raise self._refused(400, "a request target has no fragment")
        try:
            path = site.targets.path(raw_path)
        except TargetError as error:
            raise self._refused(400, str(error)) from None
        if path is None:
            path, raw_path, query = self._unusual_target(method, raw_path)
        if site.raw_root_path:
            raw_path = site.raw_root_path + raw_path
        scope = {
            "type": "http",
            "asgi": {"version": ASGI_VERSION, "spec_version": HTTP_SPEC_VERSION},
            "http_version": http_version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "method": method,
            "root_path": site.root_path,
            "path": path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": headers,
            "state": site.state.copy(),
            "extensions": self._extensions,
        }
        cycle = Cycle(self, scope, self._target, persistent)
        if site.timed:
            cycle.began_ns = monotonic_ns()
        if marks or not persistent:
            self._mark(cycle, http_version)
        self._target = b""
        self._headers = []
        self._host = None
        self._incoming = cycle
        self.phase = BODY if self.phase is not UPGRADE else UPGRADE
        last = self.cycle
        if last is None:
            self.cycle = cycle
        elif self._busy() or self.waiting:
            self._queue(cycle)
        else:
            if last.task is not None and not last.task.done():
                site.adopt(last)
            self.cycle = cycle

    def _queue(self, cycle: Cycle) -> None:
        if self.waiting is _NONE_WAIT:
            self.waiting = deque()
        self.waiting.append(cycle)
        if self._reading and self._crowded():
            self.adjust_reading()
        self._stays = True

    def on_body(self, data: bytes) -> None:
        self._body_left = left = self._body_left - len(data)
        cycle = cast(Cycle, self._incoming)
        cycle.body_came(data)
        if left < 0:  # a chunked body, whose length only its end tells
            self._bound_body(-left)
        if len(cycle.body) > self.site.unread_bytes and self._reading:
            self.adjust_reading()

    def on_message_complete(self) -> None:
        if self.phase is UPGRADE:
            return
        cycle = cast(Cycle, self._incoming)
        cycle.body_ended()
        self.phase = IDLE if cycle.persistent else DEAF
        if cycle.answer is COMPLETE:  # answered before its body was whole
            self.since_s = self.site.now_s
            if not cycle.persistent:
                self._part()

    def _measure_head(self) -> None:
        most = self.site.bounds.head
        if len(self._target) + sum(len(name) + len(value) + 4 for name, value in self._headers) > most:
            raise self._refused(431, f"Head of more than {most} bytes")

    def _bound_body(self, size: int) -> None:
        most = self.site.bounds.body
        if most is not None and size > most:
            raise self._refused(413, f"Request body of more than {most} bytes")

    def _refused(self, status: int, why: str) -> Refusal:
        self._refusal = Refusal(status, why)
        return self._refusal

    def _check_head(self, method: str, http_version: str) -> None:
        """What llhttp lets pass and this server must not."""
        if http_version not in ("1.1", "1.0"):
            raise self._refused(505, "HTTP version not supported")
        if self._host is None and http_version == "1.1":
            raise self._refused(400, "Missing Host header")  # RFC 9112, section 3.2
        if method == "CONNECT":
            raise self._refused(501, "Method not implemented")  # RFC 9110, section 9.3.6: this is no proxy
        coding = self._marks.get(b"transfer-encoding")
        if coding is not None:
            if http_version == "1.0":
                raise self._refused(400, "Transfer-Encoding in an HTTP/1.0 request")  # RFC 9112, section 6.1
            if coding.lower() != b"chunked":
                self._check_coding(coding)

    def _check_coding(self, value: bytes) -> None:
        """Refuse a Transfer-Encoding other than `chunked` (RFC 9112, sections 6.1 and 6.3)."""
        # RFC 9110, section 5.6.1.2: empty elements of a list do not count.
        codings = [coding for part in value.split(b",") if (coding := part.strip().lower())]
        if not codings or b"chunked" in codings[:-1] or any(TOKEN.fullmatch(coding) is None for coding in codings):
            raise self._refused(400, "Invalid Transfer-Encoding header")
        if codings != [b"chunked"]:
            raise self._refused(501, "Transfer coding not implemented")

    def _unusual_target(self, method: str, target: bytes) -> tuple[str, bytes, bytes]:
        """Path, raw path and query of a target that is no path (RFC 9112, sections 3.2.2 and 3.2.4)."""
        if target == b"*" and method == "OPTIONS":
            return "*", b"*", b""
        try:
            host, origin_form = split_absolute(self._target)
            raw_path, _, query = origin_form.partition(b"?")
            path = self.site.targets.path(raw_path)
        except TargetError as error:
            raise self._refused(400, str(error)) from None
        if path is None or not self.site.targets.valid_host(host):
            raise self._refused(400, "Invalid request target")
        # The target's host replaces the header's.
        self._headers[:] = [(b"host", host), *(pair for pair in self._headers if pair[0] != b"host")]
        return path, raw_path, query

    def _mark(self, cycle: Cycle, http_version: str) -> None:
        """Note what the head says of the connection, the client, the body and the client's expectations."""
        marks = self._marks
        self._marks = {}
        if self._proxies is not None:
            self._proxies.apply(cycle.scope, marks, self.site.targets.valid_host)
        if not cycle.persistent:
            cycle.connection_line = heads.CONNECTION_CLOSE
        elif http_version == "1.0":
            cycle.connection_line = heads.CONNECTION_KEEP_ALIVE
        if http_version == "1.0":
            extensions = self.site.extensions_of_1_0
            cycle.scope["extensions"] = extensions if self.tls is None else {**extensions, "tls": self.tls}
        length = marks.get(b"content-length")
        if length is None:
            self._body_left = self._overhead_bytes = self._trailer_bytes = 0
        else:
            self._body_left = int(length)
            if self.site.bounds.body is not None:
                self._bound_body(self._body_left)
        if b"expect" in marks and http_version == "1.1":  # RFC 9110, section 10.1.1: 1.0 does not know the status
            if marks[b"expect"].lower() != b"100-continue":
                raise self._refused(417, "Expectation not known")
            cycle.expects_continue = True
        if b"upgrade" in marks and self._parser.should_upgrade():
            self.phase = UPGRADE
            self._marks = marks
            options = self.site.websocket
            if options is not None and asked_for(marks, cycle.scope["method"], http_version):
                from loophound.server.websocket.handshake import read_handshake

                try:
                    self._handshake = read_handshake(cycle.scope["headers"], options)
                except Refusal as refusal:
                    self._refusal = refusal
                    raise
                cycle.close_after()  # a response other than the 101 is the last one

    # -- requests in order

    def _busy(self) -> bool:
        cycle = self.cycle
        return cycle is not None and cycle.answer is not COMPLETE and cycle.answer is not ABANDONED

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
        if incoming is not None and incoming.answer is COMPLETE and incoming.upload is ARRIVING:
            incoming.body = b""  # the rest of it is only skipped
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

    def _crowded(self) -> bool:
        """Whether no further request is to be read, for so many wait, or so much of their bodies."""
        waiting = self.waiting
        if not waiting:
            return False
        return len(waiting) >= MAX_PIPELINED or sum(len(cycle.body) for cycle in waiting) > self.site.unread_bytes

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

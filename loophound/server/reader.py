"""Reading requests: bytes in, cycles in order out, held to the limits; the connection is protocol.py.

Input phases (what the parser is in the middle of); the answer's states are cycle.Answer:

    IDLE ─► HEAD ─► BODY ─► IDLE         a request, and the next
      └──────┴───────┴─► DEAF            no further request is read: the last response is due
                           └─► LINGERING the last response is out, what comes is thrown away
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from enum import Enum, auto
from time import monotonic_ns
from typing import TYPE_CHECKING, Any, cast

import httptools

from loophound.server import heads
from loophound.server.asgi import ASGI_VERSION, HTTP_SPEC_VERSION
from loophound.server.cycle import ABANDONED, AWAITED, COMPLETE, Cycle
from loophound.server.heads import TOKEN
from loophound.server.malformed import refusal_of
from loophound.server.proxies import Proxies
from loophound.server.refusals import Refusal
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
_NOTHING = object()
_NONE_WAIT: deque[Cycle] = deque()  # shared, and always empty: a deque of its own costs each connection 700 bytes


class RequestReader(asyncio.Protocol):
    """The reading half of a connection; the parser's callbacks are its `on_` methods.

    The other half, HttpConnection, starts what was read and ends the connection.
    """

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

    # The other half's, set when the connection is made.
    transport: asyncio.Transport
    client: tuple[str, int] | None
    scheme: str
    tls: dict[str, Any] | None
    _extensions: dict[str, Any]
    _proxies: Proxies | None  # where this is the connection of a trusted one
    _watched: frozenset[bytes]  # the names of fields that say something of the connection or the client

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
        if marks:
            marks.pop(b"connection", None)  # the parser has understood it
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
        cycle = Cycle(self, scope, self._target, persistent)  # type: ignore[arg-type]  # the other half completes it
        if site.timed:
            cycle.began_ns = monotonic_ns()
        if marks or not persistent or http_version == "1.0":
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

    def _busy(self) -> bool:
        cycle = self.cycle
        return cycle is not None and cycle.answer is not COMPLETE and cycle.answer is not ABANDONED

    def _crowded(self) -> bool:
        """Whether no further request is to be read, for so many wait, or so much of their bodies."""
        waiting = self.waiting
        if not waiting:
            return False
        return len(waiting) >= MAX_PIPELINED or sum(len(cycle.body) for cycle in waiting) > self.site.unread_bytes

    # -- the other half

    def adjust_reading(self) -> None:
        """Read while there is room for what comes."""
        raise NotImplementedError

    def _start(self, cycle: Cycle) -> None:
        """Run the application for a request that waits for nothing."""
        raise NotImplementedError

    def _refuse(self, refusal: Refusal) -> None:
        """Answer a request that cannot be served, after those before it; then close."""
        raise NotImplementedError

    def _part(self) -> None:
        """Send what is left to say and close."""
        raise NotImplementedError

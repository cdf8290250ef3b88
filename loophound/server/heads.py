"""Response heads: status lines, validated header lines, and the date.

Applications send the same few headers over and over. Each (name, value) pair is checked
and encoded once and kept in a bounded cache; the status line, `server` and `date` are one
prefix per status, renewed each second (measured: 1.8 µs a request less).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from email.utils import formatdate
from enum import Enum, auto
from http import HTTPStatus
from typing import Any

from loophound.config import Config
from loophound.errors import ConfigError
from loophound.server.asgi import Header, MessageError

SERVER_NAME = b"loophound"
CACHED_LINES = 2048  # then the cache starts anew; longer lines than CACHED_LINE_BYTES never enter it
CACHED_LINE_BYTES = 256
CACHED_SIZES = 4096

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CONNECTION_CLOSE = b"connection: close\r\n"
CONNECTION_KEEP_ALIVE = b"connection: keep-alive\r\n"
CHUNKED_END_OF_HEAD = b"transfer-encoding: chunked\r\n\r\n"
END_OF_HEAD = b"\r\n"
LAST_CHUNK = b"0\r\n\r\n"
LAST_SIZE = b"0\r\n"  # of a chunked body with trailers

# RFC 9110, section 5.6.2 (token) and 5.5 (CR, LF and NUL are dangerous in a field value).
TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_DANGEROUS = re.compile(rb"[\r\n\0]")

PHRASES: dict[int, str] = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


class Kind(Enum):
    """Headers that are not simply copied to the wire."""

    LENGTH = auto()
    CONNECTION = auto()
    DROPPED = auto()  # hop by hop: the framing is the server's business (ASGI, "Response Start")
    DATE = auto()
    SERVER = auto()


_KINDS = {
    b"content-length": Kind.LENGTH,
    b"connection": Kind.CONNECTION,
    b"transfer-encoding": Kind.DROPPED,
    b"keep-alive": Kind.DROPPED,
    b"date": Kind.DATE,
    b"server": Kind.SERVER,
}


class SpecialLine:
    """A header that steers the response."""

    __slots__ = ("kind", "length", "line", "value")

    def __init__(self, kind: Kind, line: bytes, value: bytes) -> None:
        self.kind = kind
        self.line = line
        self.value = value
        self.length = _declared_length(value) if kind is Kind.LENGTH else 0


def _declared_length(value: bytes) -> int:
    if not value.isdigit():
        raise MessageError(f"content-length is a number of bytes (RFC 9110, section 8.6); got {value!r}")
    return int(value)


def status_text(status: int) -> str:
    """The code and its phrase, as in `200 OK`; the code alone where it has none."""
    return PHRASES.get(status) or str(status)


def heads_of(config: Config) -> ResponseHeads:
    """The heads that the options describe. Raises ConfigError."""
    headers: list[Header] = []
    for text in config.headers:
        name, colon, value = text.partition(":")
        try:
            header = name.strip().encode("latin-1"), value.strip().encode("latin-1")
        except UnicodeEncodeError:
            raise ConfigError(f"--header takes NAME:VALUE in Latin-1; got {text!r}") from None
        if not colon:
            raise ConfigError(f"--header takes NAME:VALUE; got {text!r}")
        headers.append(header)
    try:
        return ResponseHeads(headers, server=config.server_header, date=config.date_header)
    except MessageError as error:
        raise ConfigError(f"--header: {error}") from None


class ResponseHeads:
    """Encodes the heads of responses; one for a server. `renew()` wants a call each second."""

    __slots__ = ("_date", "_extra", "_length_lines", "_lines", "_own_date", "_prefixes", "_server", "_size_lines")

    def __init__(self, headers: Iterable[Header] = (), *, server: bool = True, date: bool = True) -> None:
        """`headers` go into each response; a server or date among them stands in the place of ours.

        Raises MessageError for a header that the server must write itself, or that is none.
        """
        self._lines: dict[Any, bytes | SpecialLine] = {}
        self._prefixes: dict[int, bytes] = {}
        self._length_lines: dict[int, bytes] = {}
        self._size_lines: dict[int, bytes] = {}
        own: dict[Kind, bytes] = {}
        self._extra = b""
        for header in headers:
            line = self._learn(header)
            if isinstance(line, bytes):
                self._extra += line
            elif line.kind is Kind.SERVER:
                own[line.kind] = own.get(line.kind, b"") + line.line  # several of it are sent as such
            elif line.kind is Kind.DATE:
                own[line.kind] = line.line
            else:
                raise MessageError(f"the server writes {header[0].decode('latin-1').lower()} itself")
        self._server = own.get(Kind.SERVER, b"server: %s\r\n" % SERVER_NAME if server else b"")
        self._own_date = own.get(Kind.DATE) if date or Kind.DATE in own else b""
        self._date = b""
        self.renew()

    def renew(self, now_s: float | None = None) -> None:
        """Take the date anew; `now_s` is seconds since the epoch, the present when left out."""
        if self._own_date is None:
            self._date = b"date: %s\r\n" % formatdate(now_s, usegmt=True).encode("ascii")
        else:
            self._date = self._own_date
        self._prefixes.clear()

    def encode(self, status: int, headers: Iterable[Any]) -> tuple[list[bytes], int | None, bool]:
        """The lines of a head but its framing, the declared length, and whether to close after it.

        Raises MessageError for a header that must not reach the wire.
        """
        parts = [self._prefixes.get(status) or self._prefix(status)]
        if headers.__class__ is not list:
            headers = list(headers)
        known = self._lines.get
        specials: list[SpecialLine] | None = None
        try:
            for header in headers:
                line = known(header)
                if line is None:
                    line = self._learn(header)
                if line.__class__ is bytes:
                    parts.append(line)
                elif specials is None:
                    specials = [line]  # type: ignore[list-item]
                else:
                    specials.append(line)  # type: ignore[arg-type]
        except TypeError:  # a pair that is no tuple (ASGI allows any iterable of two) cannot be looked up
            pass
        else:
            if specials is None:
                return parts, None, False
            if len(specials) == 1 and specials[0].kind is Kind.LENGTH:
                return parts, specials[0].length, False
            return self._steer(status, parts, specials)
        return self.encode(status, _pairs(headers))

    def length_line(self, length: int) -> bytes:
        """The content-length line together with the end of the head."""
        line = self._length_lines.get(length)
        if line is None:
            line = b"content-length: %d\r\n\r\n" % length
            if length < CACHED_SIZES:
                self._length_lines[length] = line
        return line

    def size_line(self, size: int) -> bytes:
        """The line before a chunk of `size` bytes (RFC 9112, section 7.1)."""
        line = self._size_lines.get(size)
        if line is None:
            line = b"%x\r\n" % size
            if size < CACHED_SIZES:
                self._size_lines[size] = line
        return line

    def early_hints(self, links: Iterable[Any]) -> bytes:
        """A whole 103 (RFC 8297). Raises MessageError for what is no value of a Link header."""
        lines = []
        for link in links:
            if not isinstance(link, bytes) or _DANGEROUS.search(link) is not None:
                raise MessageError(f"the links of http.response.early_hint are values of Link in bytes; got {link!r}")
            lines.append(b"link: %s\r\n" % link.strip(b" \t"))
        return b"HTTP/1.1 103 Early Hints\r\n" + b"".join(lines) + END_OF_HEAD

    def trailers(self, headers: Iterable[Any]) -> bytes:
        """The lines of a trailer section. Raises MessageError for a field that must not be in one."""
        lines = []
        for header in _pairs(headers):
            line = self._learn(header)
            if not isinstance(line, bytes):  # RFC 9110, section 6.5.1: framing and the like
                raise MessageError(f"{header[0]!r} cannot be a trailer (RFC 9110, section 6.5.1)")
            lines.append(line)
        return b"".join(lines)

    def farewell(self, status: int, text: str, headers: bytes = b"", *, to_head: bool = False) -> bytes:
        """A whole plain-text response after which the server closes; `headers` are lines of its own.

        To HEAD it has no body (RFC 9110, section 9.3.2).
        """
        body = text.encode()
        prefix = self._prefixes.get(status) or self._prefix(status)
        head = prefix + headers + b"content-type: text/plain; charset=utf-8\r\n" + CONNECTION_CLOSE
        return head + self.length_line(len(body)) + (b"" if to_head else body)

    def _prefix(self, status: int) -> bytes:
        if not isinstance(status, int):
            raise MessageError(f"the status of a response is an integer; got {status!r}")
        if not 200 <= status <= 999:
            raise MessageError(f"a response has a status from 200 to 999; got {status}")
        prefix = _status_line(status) + self._server + self._date + self._extra
        self._prefixes[status] = prefix
        return prefix

    def _learn(self, header: Any) -> bytes | SpecialLine:
        name, value = _pair(header)
        if TOKEN.fullmatch(name) is None:
            raise MessageError(f"{name!r} is no header name (RFC 9110, section 5.1)")
        if _DANGEROUS.search(value) is not None:
            raise MessageError(
                f"the value of header {name!r} has a CR, LF or NUL in it (RFC 9110, section 5.5): {value[:80]!r}"
            )
        text = b"%s: %s\r\n" % (name, value.strip(b" \t"))
        kind = _KINDS.get(name.lower())
        line = text if kind is None else SpecialLine(kind, text, value.strip(b" \t"))
        # Cookies are secrets, and differ from client to client.
        if len(text) <= CACHED_LINE_BYTES and name.lower() != b"set-cookie":
            if len(self._lines) >= CACHED_LINES:
                self._lines.clear()
            self._lines[header] = line
        return line

    def _steer(
        self, status: int, parts: list[bytes], specials: list[SpecialLine]
    ) -> tuple[list[bytes], int | None, bool]:
        length: int | None = None
        closes = False
        own: dict[Kind, bytes] = {}
        for special in specials:
            if special.kind is Kind.LENGTH:
                if length is not None and length != special.length:
                    raise MessageError(f"two values for content-length: {length} and {special.length}")
                length = special.length
            elif special.kind is Kind.CONNECTION:
                closes = closes or b"close" in special.value.lower()
            elif special.kind is not Kind.DROPPED:
                own[special.kind] = own.get(special.kind, b"") + special.line
        if own:
            server = own.get(Kind.SERVER, self._server)
            date = own.get(Kind.DATE, self._date)
            parts[0] = _status_line(status) + server + date + self._extra
        return parts, length, closes


def _status_line(status: int) -> bytes:
    # RFC 9112, section 4: the space stands even where there is no phrase.
    return b"HTTP/1.1 " + status_text(status).encode("ascii") + (b"\r\n" if status in PHRASES else b" \r\n")


def _pairs(headers: Iterable[Any]) -> list[Header]:
    return [_pair(header) for header in headers]


def _pair(header: Any) -> Header:
    try:
        name, value = header
    except (TypeError, ValueError):
        raise MessageError(f"a header is a pair of a name and a value; got {header!r}") from None
    if not isinstance(name, bytes) or not isinstance(value, bytes):
        raise MessageError(f"the name and the value of a header are bytes; got {header!r}")
    return name, value

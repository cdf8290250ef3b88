"""The opening handshake (RFC 6455, section 4.2) and the extensions that it agrees on (section 9).

The request's syntax is httptools' business, subprotocols are the application's. What an
extension's parameters mean is left to the websockets library.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha1
from typing import Any

from websockets.exceptions import InvalidHandshake
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.headers import build_extension, parse_extension

from loophound.server.asgi import Header, MessageError
from loophound.server.heads import ResponseHeads
from loophound.server.refusals import Refusal
from loophound.server.websocket.offer import WebSocketOptions

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_VERSION = b"13"
# What a client must know of a version that is not spoken (RFC 6455, section 4.4; RFC 9110, section 15.5.22).
_VERSION_HEADERS = b"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n"
_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")
# The handshake's own headers: an application that sets one would break it.
_RESERVED = frozenset({b"upgrade", b"sec-websocket-accept", b"sec-websocket-extensions"})
# Compressing takes 256 KiB a connection with zlib's defaults, 32 KiB with these (zconf.h), which the
# websockets library defaults to as well.
_DEFLATE = {"server_max_window_bits": 12, "client_max_window_bits": 12, "compress_settings": {"memLevel": 5}}


@dataclass(frozen=True, slots=True)
class Handshake:
    """A valid request for a session."""

    accept: bytes
    subprotocols: list[str]
    extensions: str
    deflate: PerMessageDeflate | None

    def response(self, heads: ResponseHeads, subprotocol: str | None, headers: Iterable[Any]) -> bytes:
        """The 101 that accepts it. Raises MessageError for what must not be in it."""
        headers = list(headers)
        lines, _, _ = heads.encode(200, headers)
        self._check(subprotocol, headers)
        # As for any other response, `server` and `date` come with the status line.
        lines[0] = b"HTTP/1.1 101 Switching Protocols\r\n" + lines[0].partition(b"\r\n")[2]
        lines.append(b"upgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: %s\r\n" % self.accept)
        if subprotocol is not None:
            lines.append(b"sec-websocket-protocol: %s\r\n" % subprotocol.encode("ascii"))
        if self.extensions:
            lines.append(b"sec-websocket-extensions: %s\r\n" % self.extensions.encode("ascii"))
        return b"".join(lines) + b"\r\n"

    def _check(self, subprotocol: str | None, headers: Iterable[Header]) -> None:
        # RFC 6455, section 4.2.2: one of those that the client offers, or none; the client fails the connection else.
        if subprotocol is not None and subprotocol not in self.subprotocols:
            raise MessageError(f"subprotocol {subprotocol!r} is none of those that the client offers")
        for name, _ in headers:
            if name.lower() in _RESERVED or (subprotocol is not None and name.lower() == b"sec-websocket-protocol"):
                raise MessageError(f"header {name!r} of a WebSocket handshake is the server's business")


def read_handshake(headers: Iterable[Header], options: WebSocketOptions) -> Handshake:
    """The handshake that these request headers make. Raises Refusal (400 or 426)."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if name.startswith(b"sec-websocket-"):
            found[name] = found[name] + b"," + value if name in found else value
        elif name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0")):
            raise Refusal(400, "A WebSocket handshake has no body")
    if found.get(b"sec-websocket-version") != _VERSION:
        raise Refusal(426, "WebSocket version 13 is spoken here, and no other", _VERSION_HEADERS)
    key = found.get(b"sec-websocket-key", b"")
    if _KEY.fullmatch(key) is None or len(b64decode(key)) != 16:
        raise Refusal(400, "Missing or invalid Sec-WebSocket-Key header")
    extensions, deflate = _negotiate(found.get(b"sec-websocket-extensions"), options)
    subprotocols = found.get(b"sec-websocket-protocol", b"").decode("latin-1").split(",")
    return Handshake(
        accept=b64encode(sha1(key + _GUID, usedforsecurity=False).digest()),
        subprotocols=[name for name in (part.strip() for part in subprotocols) if name],
        extensions=extensions,
        deflate=deflate,
    )


def _negotiate(offers: bytes | None, options: WebSocketOptions) -> tuple[str, PerMessageDeflate | None]:
    """The first offer of permessage-deflate that can be met (RFC 7692, section 5); others are ignored."""
    if not offers or not options.deflate:
        return "", None
    factory = ServerPerMessageDeflateFactory(**_DEFLATE)  # type: ignore[arg-type]
    try:
        parsed = parse_extension(offers.decode("latin-1"))
    except InvalidHandshake as error:
        raise Refusal(400, f"Invalid Sec-WebSocket-Extensions header: {error}") from None
    for name, parameters in parsed:
        if name == factory.name:
            try:
                agreed, extension = factory.process_request_params(parameters, [])
            except (InvalidHandshake, ValueError):  # before websockets 17, zlib's for a window of 8 bits
                continue
            return build_extension([(name, agreed)]), extension
    return "", None

"""Frames: bytes to messages and control frames, and back (RFC 6455, sections 5 to 8; RFC 7692).

To read and write a message of 64 bytes takes 8 to 11 µs with the websockets library's
sans-IO protocol and 2 with these (Python 3.11). So only its mask, in C, and its
permessage-deflate are used here.
"""

from __future__ import annotations

from codecs import getincrementaldecoder
from typing import Any, TypeAlias

from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode

try:
    from websockets.speedups import apply_mask
except ImportError:
    from websockets.utils import apply_mask

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
_KNOWN = frozenset({CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG})

NORMAL = 1000
PROTOCOL_ERROR = 1002
NO_STATUS = 1005  # stands for a Close frame without a code, and is never sent (section 7.4.1)
ABNORMAL = 1006  # stands for a connection lost without a Close frame, and is never sent
INVALID_DATA = 1007
TOO_BIG = 1009
INTERNAL_ERROR = 1011
SERVICE_RESTART = 1012
# Sections 7.4.1 and 7.4.2, and those registered since (1012 to 1014).
_SENDABLE = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)})
MAX_CONTROL_BYTES = 125

Event: TypeAlias = tuple[int, Any]  # an opcode, with str for TEXT and bytes for the rest


class Violation(Exception):
    """The client broke the protocol or a limit: the connection fails with `code` (section 7.1.7)."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class FrameReader:
    """Reads what a client sends: feed() bytes, then next() until it has none."""

    __slots__ = (
        "_at",
        "_data",
        "_deflate",
        "_head",
        "_inflating",
        "_mask",
        "_max_size",
        "_message",
        "_missing",
        "_opcode",
        "_payload",
        "_utf8",
    )

    def __init__(self, max_size: int, deflate: PerMessageDeflate | None = None) -> None:
        self._max_size = max_size
        self._deflate = deflate
        self._data = b""
        self._at = 0
        # A frame of which only a part is here. One buffer, so that the number of parts costs no memory.
        self._head = 0
        self._mask = b""
        self._payload = bytearray()
        self._missing = 0
        # A message of which only some frames are here.
        self._opcode = CONTINUATION
        self._message = bytearray()
        self._inflating = False
        self._utf8: Any = None

    def feed(self, data: bytes) -> None:
        if self._at == len(self._data):
            self._data = data
        else:
            self._data = self._data[self._at :] + data
        self._at = 0

    def next(self) -> Event | None:
        """The next message or control frame that is here whole. Raises Violation."""
        while True:
            frame = self._go_on() if self._missing else self._begin()
            if frame is None:
                return None
            head, payload = frame
            opcode = head & 0x0F
            # Most messages are one frame, not compressed.
            if head == 0x82 and not self._opcode:
                return BINARY, payload
            if head == 0x81 and not self._opcode:
                return TEXT, _text(payload)
            if opcode >= CLOSE:
                return opcode, payload
            event = self._fragment(opcode, bool(head & 0x80), bool(head & 0x40), payload)
            if event is not None:
                return event

    def _begin(self) -> tuple[int, bytes] | None:
        """Read a frame from its head on; its first byte and its payload, if it is here whole."""
        data = self._data
        at = self._at
        size = len(data) - at
        if size < 2:
            return None
        head = data[at]
        length = data[at + 1]
        if head & 0x70 or head & 0x0F not in (TEXT, BINARY):
            self._check_head(head)
        if not length & 0x80:
            raise Violation(PROTOCOL_ERROR, "a client masks its frames")  # section 5.1
        length &= 0x7F
        start = at + 6
        if length > MAX_CONTROL_BYTES:
            if head & 0x08:
                raise Violation(PROTOCOL_ERROR, "control frame of more than 125 bytes")  # section 5.5
            more = 2 if length == 126 else 8
            if size < 2 + more:
                return None
            length = int.from_bytes(data[at + 2 : at + 2 + more], "big")
            start += more
        if length > self._max_size - len(self._message) and not head & 0x08:
            raise Violation(TOO_BIG, f"message of more than {self._max_size} bytes")
        if len(data) < start:
            return None
        end = start + length
        mask = data[start - 4 : start]
        if len(data) < end:
            self._head = head
            self._mask = mask
            self._payload += data[start:]
            self._missing = end - len(data)
            self._data = b""
            self._at = 0
            return None
        self._at = end
        return head, apply_mask(data[start:end], mask)

    def _go_on(self) -> tuple[int, bytes] | None:
        """Read more of a frame's payload."""
        piece = self._data[self._at : self._at + self._missing]
        self._payload += piece
        self._at += len(piece)
        self._missing -= len(piece)
        if self._missing:
            return None
        payload = apply_mask(self._payload, self._mask)
        self._payload = bytearray()
        return self._head, payload

    def _check_head(self, head: int) -> None:
        """What is rarer than a data frame of one piece (section 5.2)."""
        opcode = head & 0x0F
        if opcode not in _KNOWN:
            raise Violation(PROTOCOL_ERROR, f"unknown opcode {opcode}")
        compressed = head & 0x40 and self._deflate is not None and opcode in (TEXT, BINARY)
        if head & 0x30 or (head & 0x40 and not compressed):  # RFC 7692, section 6
            raise Violation(PROTOCOL_ERROR, "reserved bit set")
        if opcode >= CLOSE and not head & 0x80:
            raise Violation(PROTOCOL_ERROR, "fragmented control frame")  # section 5.5

    def _fragment(self, opcode: int, final: bool, compressed: bool, payload: bytes) -> Event | None:
        """Join the frames of a message (section 5.4)."""
        if opcode:
            if self._opcode:
                raise Violation(PROTOCOL_ERROR, "a new message within a fragmented one")
            if final:  # compressed, or it would not be here
                payload = self._inflate(Frame(Opcode(opcode), payload, rsv1=True))
                return opcode, _text(payload) if opcode == TEXT else payload
            self._opcode = opcode
            self._inflating = compressed
            self._utf8 = getincrementaldecoder("utf-8")() if opcode == TEXT else None
        elif not self._opcode:
            raise Violation(PROTOCOL_ERROR, "continuation of no message")
        if self._inflating:
            payload = self._inflate(Frame(Opcode(opcode), payload, final, rsv1=bool(opcode)))
        if self._utf8 is not None:
            try:  # fails early, as section 8.1 allows
                self._utf8.decode(payload, final)
            except UnicodeDecodeError:
                raise Violation(INVALID_DATA, "text that is not UTF-8") from None
        self._message += payload
        if not final:
            return None
        opcode, message = self._opcode, bytes(self._message)
        self._opcode = CONTINUATION
        self._message = bytearray()
        self._utf8 = None
        return opcode, _text(message) if opcode == TEXT else message

    def _inflate(self, frame: Frame) -> bytes:
        assert self._deflate is not None
        try:
            # Never 0, which zlib takes for no limit: a frame with a payload was refused above when nothing is left.
            return bytes(self._deflate.decode(frame, max_size=max(1, self._max_size - len(self._message))).data)
        except PayloadTooBig:
            raise Violation(TOO_BIG, f"message of more than {self._max_size} bytes") from None
        except ProtocolError as error:
            raise Violation(INVALID_DATA, str(error)) from None


def _text(payload: bytes) -> str:
    try:
        return str(payload, "utf-8")
    except UnicodeDecodeError:
        raise Violation(INVALID_DATA, "text that is not UTF-8") from None


# The heads of unfragmented frames with a payload of less than 126 bytes, by opcode.
_SHORT_HEADS = {opcode: [bytes((0x80 | opcode, size)) for size in range(126)] for opcode in _KNOWN}


def frame_head(opcode: int, size: int, rsv1: bool = False) -> bytes:
    """The head of a whole message's frame from the server, which is not masked (section 5.1)."""
    if size < 126 and not rsv1:
        return _SHORT_HEADS[opcode][size]
    first = 0x80 | opcode | (0x40 if rsv1 else 0)
    if size < 126:
        return bytes((first, size))
    if size < 65_536:
        return bytes((first, 126, size >> 8, size & 0xFF))
    return bytes((first, 127)) + size.to_bytes(8, "big")


def compressed_frame(deflate: PerMessageDeflate, opcode: int, payload: bytes) -> tuple[bytes, bytes]:
    """The head and the payload of a compressed message (RFC 7692, section 7.2.1)."""
    data = bytes(deflate.encode(Frame(Opcode(opcode), payload)).data)
    return frame_head(opcode, len(data), rsv1=True), data


def close_payload(code: int, reason: str) -> bytes:
    """The body of a Close frame (section 5.5.1). Raises ValueError for what cannot be in it."""
    if code == NO_STATUS and not reason:
        return b""
    if code not in _SENDABLE:
        raise ValueError(f"{code} is no close code that may be sent (RFC 6455, section 7.4)")
    payload = code.to_bytes(2, "big") + reason.encode()
    if len(payload) > MAX_CONTROL_BYTES:
        raise ValueError(f"the reason of a close has at most {MAX_CONTROL_BYTES - 2} bytes; got {len(payload) - 2}")
    return payload


def read_close(payload: bytes) -> tuple[int, str]:
    """The code and the reason of a client's Close frame. Raises Violation."""
    if not payload:
        return NO_STATUS, ""
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or code not in _SENDABLE:
        raise Violation(PROTOCOL_ERROR, "invalid close code")
    return code, _text(payload[2:])

"""The head of the PROXY protocol, both versions."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loophound.server.proxy_header import (
    LONGEST_HEAD_BYTES,
    SIGNATURE,
    ProxyHeader,
    ProxyHeaderError,
    read_proxy_header,
)

TCP4 = socket.inet_aton("192.0.2.1") + socket.inet_aton("10.0.0.7") + struct.pack("!HH", 5000, 443)
TCP6 = (
    socket.inet_pton(socket.AF_INET6, "2001:db8::1")
    + socket.inet_pton(socket.AF_INET6, "::1")
    + struct.pack("!HH", 5000, 443)
)


def head(body: bytes = TCP4, *, command: int = 0x21, kind: int = 0x11, length: int | None = None) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, kind, len(body) if length is None else length) + body


def field(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


FOUR = ProxyHeader(("192.0.2.1", 5000), ("10.0.0.7", 443))
SIX = ProxyHeader(("2001:db8::1", 5000), ("::1", 443))
SPOKE_TLS = field(0x20, b"\x05" + b"\0" * 4 + field(0x21, b"TLSv1.3"))


@pytest.mark.parametrize(
    ("data", "header"),
    [
        (b"PROXY TCP4 192.0.2.1 10.0.0.7 5000 443\r\n", FOUR),
        (b"PROXY TCP6 2001:db8::1 ::1 5000 443\r\n", SIX),
        (b"PROXY TCP6 2001:DB8:0:0:0:0:0:1 ::1 5000 443\r\n", SIX),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 0 65535\r\n", ProxyHeader(("1.2.3.4", 0), ("5.6.7.8", 65535))),
        (b"PROXY UNKNOWN\r\n", ProxyHeader()),
        (b"PROXY UNKNOWN ffff:f...f:ffff anything 65535 65535\r\n", ProxyHeader()),
        (head(), FOUR),
        (head(TCP6, kind=0x21), SIX),
        (head(TCP4, command=0x20), ProxyHeader()),
        (head(b"", command=0x20, kind=0), ProxyHeader()),
        (head(b"", kind=0), ProxyHeader()),
        (head(b"\0" * 216, kind=0x31), ProxyHeader(unix=True)),
        (head(TCP4 + field(0x01, b"h2") + field(0x04, b"\0" * 20)), FOUR),
        (head(TCP4 + field(0x02, b"a.example") + SPOKE_TLS), FOUR._replace(tls=True)),
        (head(TCP4 + field(0x20, b"\0" * 5)), FOUR),
    ],
)
def test_what_it_says_whatever_follows_and_however_it_is_cut(data: bytes, header: ProxyHeader) -> None:
    assert read_proxy_header(data + b"GET / HTTP/1.1\r\n") == (header, len(data))
    for size in range(len(data)):
        assert read_proxy_header(data[:size]) is None


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"PROXZ",
        b"\r\n\r\nx",
        b"proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n",
        b"PROXY TCP4 1.2.3.4  5.6.7.8 1 2\r\n",
        b"PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n",
        b"PROXY TCP4 01.2.3.4 5.6.7.8 1 2\r\n",
        b"PROXY TCP4 ::1 5.6.7.8 1 2\r\n",
        b"PROXY TCP6 1.2.3.4 ::1 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n",
        b"PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n",
        b"PROXY UNKNOWNX\r\n",
        b"PROXY \r\n",
        b"PROXY UNKNOWN " + b"x" * 100,
        head(command=0x11),
        head(command=0x22),
        head(kind=0x12),
        head(kind=0x99),
        head(TCP4[:-1]),
        head(TCP4, kind=0x21),
        head(length=LONGEST_HEAD_BYTES),
        head(TCP4 + b"\x01\0"),
        head(TCP4 + b"\x01\0\x09short"),
    ],
)
def test_what_is_none(data: bytes) -> None:
    with pytest.raises(ProxyHeaderError):
        read_proxy_header(data)


@given(st.binary(max_size=300) | st.builds(lambda tail: SIGNATURE + tail, st.binary(max_size=300)))
def test_any_bytes(data: bytes) -> None:
    try:
        found = read_proxy_header(data)
    except ProxyHeaderError:
        return
    assert found is None or 0 < found[1] <= len(data)

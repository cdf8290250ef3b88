"""The head of the PROXY protocol, versions 1 and 2: whom a proxy that does not speak HTTP was asked by.

Source: "The PROXY protocol, versions 1 & 2" of HAProxy (proxy-protocol.txt), sections 2.1 and 2.2.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

# Section 2.1: the longest line of version 1.
LONGEST_LINE_BYTES = 107
# Version 2 allows 64 KiB. What proxies add (names of certificates, ids of clouds) takes some hundred bytes.
LONGEST_HEAD_BYTES = 4096
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_LINE_START = b"PROXY "
_LINE = re.compile(rb"PROXY (TCP4|TCP6) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+) (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4})")
_FIXED_BYTES = 16
_LOCAL, _PROXY = 0x20, 0x21
_TCP4, _TCP6, _UNIX, _UNSPECIFIED = 0x11, 0x21, 0x31, 0x00
# Bytes of the two addresses, with the ports.
_ADDRESS_BYTES = {_TCP4: 12, _TCP6: 36, _UNIX: 216, _UNSPECIFIED: 0}
_TLV_SSL = 0x20
_CLIENT_SSL = 0x01


class ProxyHeaderError(Exception):
    """What came is no head of the PROXY protocol."""


class ProxyHeader(NamedTuple):
    """What it says. Without a client it speaks for the proxy itself, or of what has no address."""

    client: tuple[str, int] | None = None
    server: tuple[str, int] | None = None
    unix: bool = False  # the client came by a unix socket, and has no address
    tls: bool = False  # the client spoke TLS with the proxy


def read_proxy_header(data: bytes) -> tuple[ProxyHeader, int] | None:
    """The head at the beginning of `data`, and how many bytes it takes; None where it is not whole yet.

    Raises ProxyHeaderError.
    """
    if data[: len(SIGNATURE)] == SIGNATURE[: len(data)]:
        return _read_head(data)
    if data[: len(_LINE_START)] == _LINE_START[: len(data)]:
        return _read_line(data)
    raise ProxyHeaderError("no head of the PROXY protocol")


def _read_line(data: bytes) -> tuple[ProxyHeader, int] | None:
    end = data.find(b"\r\n", 0, LONGEST_LINE_BYTES)
    if end < 0:
        if len(data) >= LONGEST_LINE_BYTES:
            raise ProxyHeaderError(f"a PROXY line of more than {LONGEST_LINE_BYTES} bytes")
        return None
    line = data[:end]
    if line == b"PROXY UNKNOWN" or line.startswith(b"PROXY UNKNOWN "):
        return ProxyHeader(), end + 2
    match = _LINE.fullmatch(line)
    if match is None:
        raise ProxyHeaderError("a malformed PROXY line")
    kind = IPv4Address if match[1] == b"TCP4" else IPv6Address
    try:
        source, destination = (f"{kind(match[group].decode())}" for group in (2, 3))
    except ValueError:
        raise ProxyHeaderError("a malformed address in a PROXY line") from None
    ports = int(match[4]), int(match[5])
    if max(ports) > 65535:
        raise ProxyHeaderError("a malformed port in a PROXY line")
    return ProxyHeader((source, ports[0]), (destination, ports[1])), end + 2


def _read_head(data: bytes) -> tuple[ProxyHeader, int] | None:
    if len(data) < _FIXED_BYTES:
        return None
    command, kind = data[12], data[13]
    length = int.from_bytes(data[14:16], "big")
    size = _FIXED_BYTES + length
    if command not in (_LOCAL, _PROXY):
        raise ProxyHeaderError(f"version and command {command:#04x}, which the PROXY protocol has not")
    if size > LONGEST_HEAD_BYTES:
        raise ProxyHeaderError(f"a PROXY head of more than {LONGEST_HEAD_BYTES} bytes")
    if len(data) < size:
        return None
    if command == _LOCAL:  # section 2.2: whatever else stands there is to be ignored
        return ProxyHeader(), size
    if kind not in _ADDRESS_BYTES:
        raise ProxyHeaderError(f"family and protocol {kind:#04x}, which are not those of a stream")
    if length < _ADDRESS_BYTES[kind]:
        raise ProxyHeaderError("a PROXY head that is too short for its addresses")
    addresses = data[_FIXED_BYTES : _FIXED_BYTES + _ADDRESS_BYTES[kind]]
    tls = _spoke_tls(data[_FIXED_BYTES + _ADDRESS_BYTES[kind] : size])
    if kind in (_TCP4, _TCP6):
        client, server = _endpoints(addresses)
        return ProxyHeader(client, server, tls=tls), size
    return ProxyHeader(unix=kind == _UNIX, tls=tls), size


def _endpoints(data: bytes) -> tuple[tuple[str, int], tuple[str, int]]:
    size = (len(data) - 4) // 2
    kind = IPv4Address if size == 4 else IPv6Address
    source, destination = f"{kind(data[:size])}", f"{kind(data[size : 2 * size])}"
    return (
        (source, int.from_bytes(data[-4:-2], "big")),
        (destination, int.from_bytes(data[-2:], "big")),
    )


def _spoke_tls(fields: bytes) -> bool:
    """Whether the type-length-value fields say so (section 2.2.6)."""
    at = 0
    while at < len(fields):
        value_at = at + 3
        end = value_at + int.from_bytes(fields[at + 1 : value_at], "big")
        if value_at > len(fields) or end > len(fields):
            raise ProxyHeaderError("a PROXY head with a field that is longer than the head")
        if fields[at] == _TLV_SSL and end > value_at:
            return bool(fields[value_at] & _CLIENT_SSL)
        at = end
    return False

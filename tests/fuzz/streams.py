"""Byte streams for the fuzzer: requests made by a grammar that makes mistakes, and mutations of them."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

METHODS = [b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"DELETE", b"PATCH", b"PROPFIND"]
ODD_METHODS = [b"BREW", b"get", b"CONNECT", b"PRI", b"", b"G\0T", b"A" * 300, b"M-SEARCH"]
TARGETS = [b"/", b"/a?b=c", b"/%41%zz", b"//x/../y", b"http://h/p?q", b"*", b"/" + b"x" * 3000]
ODD_TARGETS = [b"", b"a", b"h:80", b"/#f", b"/\xff", b"/\0", b"http://", b"ftp://h/", b"/" + b"x" * 20_000, b"/ /"]
VERSIONS = [b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0"]
ODD_VERSIONS = [b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.2", b"HTTP/1", b"http/1.1", b"", b"HTTP/9.9 "]
FIELDS = [
    b"X-A: 1", b"X-A:  b \t", b"X-B:", b"Cookie: a=b", b"Accept: */*", b"X-C: \xff", b"Connection: keep-alive",
    b"Connection: close", b"Expect: 100-continue", b"TE: trailers", b"X-Long: " + b"v" * 5000,
]  # fmt: skip
ODD_FIELDS = [
    b"Host: b", b"Host: a b", b"X-A : 1", b": 1", b"X-A", b" folded", b"X-A: \0", b"X-A: \r", b"X[: 1", b"X-A: \x01",
    b"Content-Length: 3", b"Content-Length: -1", b"Content-Length: 3, 3", b"Content-Length: 99999999999999999999",
    b"Content-Length:", b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked, chunked", b"Transfer-Encoding:",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: \x0bchunked", b"Expect: what", b"Upgrade: foo", b"Upgrade: h2c",
    b"Connection: upgrade", b"Connection: Upgrade, HTTP2-Settings", b"X-Huge: " + b"v" * 70_000,
    b"Upgrade: websocket", b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
]  # fmt: skip
WEBSOCKET = [
    b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
]  # fmt: skip
ENDS = [b"\r\n"] * 60 + [b"\n", b"\r", b"\r\r\n", b"\n\r\n", b""]
# What parsers stumble over.
WORDS = [
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\0", b" ", b"\t", b":", b";", b",", b"0", b"-1", b"ffffffffffffffff",
    b"0\r\n\r\n",
    b"HTTP/1.1", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n",
    b"\x80", b"\xff\xff", b"Host: a\r\n", b"POST", b"5\r\nhello\r\n", b"1;a=b\r\nx\r\n",
]  # fmt: skip


def stream(random: Random) -> bytes:
    """One connection's worth of bytes."""
    if random.random() < 0.03:
        data = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * random.choice((20, 100, 2000))
    else:
        data = b"".join(_request(random) for _ in range(random.choice((1, 1, 1, 2, 3, 5, 40))))
    for _ in range(random.choice((0, 0, 0, 1, 1, 2, 5, 20))):
        data = random.choice(MUTATIONS)(data, random)
    return data


def pieces(data: bytes, random: Random) -> list[bytes]:
    """`data` as it may arrive."""
    way = random.randrange(4)
    if way == 0 or len(data) < 2:
        return [data]
    if way == 1 and len(data) < 400:
        return [data[index : index + 1] for index in range(len(data))]
    cuts = sorted({random.randrange(1, len(data)) for _ in range(random.choice((1, 2, 3, 10)))})
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def _seldom(random: Random, usual: list[bytes], odd: list[bytes], chance: float = 0.04) -> bytes:
    return random.choice(odd if random.random() < chance else usual)


def _request(random: Random) -> bytes:
    words = [
        _seldom(random, METHODS, ODD_METHODS),
        _seldom(random, TARGETS, ODD_TARGETS),
        _seldom(random, VERSIONS, ODD_VERSIONS),
    ]
    lines = [b" ".join(words)]
    if random.random() < 0.97:
        lines.append(b"Host: a")
    lines += [_seldom(random, FIELDS, ODD_FIELDS, 0.1) for _ in range(random.choice((0, 1, 3, 8)))]
    if random.random() < 0.05:
        lines += WEBSOCKET
    if random.random() < 0.01:
        lines += [b"X-M: 1"] * 300
    framing, body = _body(random)
    lines += framing
    return b"".join(line + random.choice(ENDS) for line in lines) + random.choice(ENDS[:62]) + body


def _body(random: Random) -> tuple[list[bytes], bytes]:
    kind = random.randrange(4)
    size = random.choice((0, 1, 5, 100, 5000, 70_000, 200_000))
    if kind < 2:
        return [], b""
    if kind == 2:
        declared = size if random.random() < 0.95 else size + random.choice((-1, 1, 1000))
        return [b"Content-Length: %d" % declared], random.randbytes(size)
    chunks = [_chunk(random, size // 3) for _ in range(random.choice((0, 1, 3, 50)))] if size < 70_000 else []
    trailer = random.choice(ODD_FIELDS) + b"\r\n" if random.random() < 0.05 else b""
    end = b"0\r\n" + trailer + b"\r\n" if random.random() < 0.97 else b""
    return [b"Transfer-Encoding: chunked"], b"".join(chunks) + end


def _chunk(random: Random, most: int) -> bytes:
    size = random.randint(1, max(most, 1))
    line = b"%x" % size
    if random.random() < 0.1:
        line += random.choice((b";a", b";a=b", b';a="b c"', b";" + b"e" * 2000, b" ", b";", b";\0"))
    if random.random() < 0.02:
        line = random.choice((b"-1", b"0x5", b"", b"fffffffffffffffff", b"5 5", b"g"))
    return line + random.choice(ENDS) + random.randbytes(size) + random.choice(ENDS)


def _somewhere(data: bytes, random: Random) -> int:
    return random.randrange(len(data) + 1)


def _insert(data: bytes, random: Random) -> bytes:
    at = _somewhere(data, random)
    return data[:at] + random.choice(WORDS) + data[at:]


def _delete(data: bytes, random: Random) -> bytes:
    at = _somewhere(data, random)
    return data[:at] + data[at + random.choice((1, 1, 2, 10, 1000)) :]


def _replace(data: bytes, random: Random) -> bytes:
    at = _somewhere(data, random)
    return data[:at] + random.randbytes(1) + data[at + 1 :]


def _repeat(data: bytes, random: Random) -> bytes:
    start, end = sorted((_somewhere(data, random), _somewhere(data, random)))
    part = data[start : min(end, start + 3000)]
    return data[:end] + part * random.choice((1, 2, 20)) + data[end:]


def _cut_off(data: bytes, random: Random) -> bytes:
    return data[: _somewhere(data, random)]


MUTATIONS: list[Callable[[bytes, Random], bytes]] = [_insert, _insert, _delete, _replace, _replace, _repeat, _cut_off]

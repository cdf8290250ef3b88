"""Caches: they answer as without them, and stay bounded."""

from __future__ import annotations

from typing import Any

import pytest

from loophound.config import Config
from loophound.errors import ConfigError
from loophound.server import heads
from loophound.server.asgi import MessageError
from loophound.server.heads import ResponseHeads, heads_of
from loophound.server.targets import REMEMBERED, TargetError, Targets, split_absolute


def test_cached_lines_are_the_same() -> None:
    encoder = ResponseHeads()
    headers = [(b"X", b" a \t"), (b"content-length", b"12"), (b"y", b"")]
    first = encoder.encode(200, headers)
    assert first[0][1:] == [b"X: a\r\n", b"y: \r\n"]
    assert first[1:] == (12, False)
    assert encoder.encode(200, headers) == first


def test_the_cache_is_bounded_and_keeps_no_cookies() -> None:
    encoder = ResponseHeads()
    encoder.encode(200, [(b"set-cookie", b"secret"), (b"x", b"y" * 300)])
    assert not encoder._lines
    for number in range(3 * heads.CACHED_LINES):
        encoder.encode(200, [(b"x", b"%d" % number)])
        encoder.length_line(number)
        encoder.size_line(number)
    assert len(encoder._lines) <= heads.CACHED_LINES
    assert len(encoder._length_lines) <= heads.CACHED_SIZES
    assert len(encoder._size_lines) <= heads.CACHED_SIZES


def test_lines_for_lengths_and_chunks() -> None:
    encoder = ResponseHeads()
    for size in (0, 10, 255, 4095, 4096, 10**9):
        assert encoder.length_line(size) == b"content-length: %d\r\n\r\n" % size
        assert int(encoder.size_line(size), 16) == size


@pytest.mark.parametrize("status", [0, 99, 100, 101, 199, 1000, -200, "200", None, 200.5])
def test_status_that_must_not_leave(status: object) -> None:
    with pytest.raises(MessageError):
        ResponseHeads().encode(status, [])  # type: ignore[arg-type]


def test_unhashable_header_is_named() -> None:
    with pytest.raises(MessageError, match="bytes"):
        ResponseHeads().encode(200, [(b"x", [1])])


@pytest.mark.parametrize(
    ("host", "valid"),
    [
        (b"", False), (b":80", False), (b"a,b", False),
        (b"a", True), (b"a.b-c:80", True), (b"127.0.0.1:", True), (b"[::1]:80", True), (b"a%20b", True),
        (b"a b", False), (b"a/b", False), (b"a?b", False), (b"u@h", False), (b"[::1", False), (b"a:b", False),
        (b"a:80:80", False), (b"a\\b", False),
    ],
)  # fmt: skip
def test_hosts(host: bytes, valid: bool) -> None:
    targets = Targets()
    assert targets.valid_host(host) is valid
    assert targets.valid_host(host) is valid


def test_paths_are_decoded_and_remembered() -> None:
    targets = Targets("/root")
    for _ in range(2):
        assert targets.path(b"/a%2Fb%20%E2%82%AC+") == "/root/a/b €+"
    assert targets.path(b"http://a/") is None
    with pytest.raises(TargetError):
        targets.path(b"/a#b")
    for number in range(3 * REMEMBERED):
        targets.path(b"/%d" % number)
        targets.valid_host(b"h%d" % number)
    assert len(targets._paths) <= REMEMBERED
    assert len(targets._hosts) <= REMEMBERED


def test_absolute_form() -> None:
    assert split_absolute(b"http://a:80/x?y") == (b"a:80", b"/x?y")
    assert split_absolute(b"HTTP://a") == (b"a", b"/")
    for target in (b"ftp://a/", b"http:///x", b"http://u@a/", b"x"):
        with pytest.raises(TargetError):
            split_absolute(target)


def prefix_of(headers: list[tuple[bytes, bytes]] | None = None, /, **options: Any) -> list[bytes]:
    """The lines before those of the application, but the status line."""
    heads = heads_of(Config(app="a:a", **options))
    heads.renew(0)
    return heads.encode(200, headers or [])[0][0].splitlines()[1:]


DATE = b"date: Thu, 01 Jan 1970 00:00:00 GMT"


def test_headers_of_every_response() -> None:
    assert prefix_of() == [b"server: loophound", DATE]
    assert prefix_of(server_header=False) == [DATE]
    assert prefix_of(date_header=False) == [b"server: loophound"]
    assert prefix_of(server_header=False, headers=("X-A: b", "X-A:c ")) == [DATE, b"X-A: b", b"X-A: c"]
    assert prefix_of(headers=("Server: me", "Date: today")) == [b"Server: me", b"Date: today"]
    assert prefix_of(headers=("Server: a", "server: b")) == [b"Server: a", b"server: b", DATE]

    # The application's own stand in the place of the server's, with all options.
    own = [(b"server", b"app"), (b"date", b"now")]
    assert prefix_of(own, server_header=False, date_header=False, headers=("X-A: b",)) == [
        b"server: app", b"date: now", b"X-A: b",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("X-A", "takes NAME:VALUE; got 'X-A'"),
        ("X A: b", "is no header name"),
        ("X-A: b\rc", "CR, LF or NUL"),
        ("X-A: \u20ac", "in Latin-1"),
        ("Content-Length: 5", "the server writes content-length itself"),
        ("connection: close", "the server writes connection itself"),
    ],
)
def test_headers_that_cannot_be(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=f"--header.*{why}"):
        heads_of(Config(app="a:a", headers=(text,)))

"""The limits of a request, each with its option and its status (RFC 6585, section 5; RFC 9110, section 15.5)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.server import apps
from tests.server.wire import HOST, Running, wait_until

START = b"GET / HTTP/1.1\r\n" + HOST
POST = b"POST / HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

# Option, what is within it, what is not, and the status.
LIMITS: dict[str, tuple[dict[str, Any], bytes, bytes, int]] = {
    "request line": (
        {"limit_request_line": 100},
        b"GET /" + b"x" * 86 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /" + b"x" * 87 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
        414,
    ),
    "query": (
        {"limit_request_line": 100},
        b"GET /?" + b"x" * 85 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /?" + b"x" * 900 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
        414,
    ),
    "head": (
        {"limit_head": 300},
        START + b"X: " + b"v" * 200 + b"\r\n\r\n",
        START + b"X: " + b"v" * 300 + b"\r\n\r\n",
        431,
    ),
    "many fields": ({"limit_headers": 5}, START + b"X: 1\r\n" * 4 + b"\r\n", START + b"X: 1\r\n" * 5 + b"\r\n", 431),
    "trailers": (
        {"limit_head": 300},
        CHUNKED + b"0\r\nX: " + b"v" * 50 + b"\r\n\r\n",
        CHUNKED + b"0\r\nX: " + b"v" * 300 + b"\r\n\r\n",
        431,
    ),
    "many trailers": (
        {"limit_head": 300},
        CHUNKED + b"0\r\n" + b"X: v\r\n" * 8 + b"\r\n",
        CHUNKED + b"0\r\n" + b"X: v\r\n" * 60 + b"\r\n",
        431,
    ),
    "chunk extensions": (
        {"limit_head": 300},
        CHUNKED + b"1;a=" + b"v" * 40 + b"\r\nx\r\n0\r\n\r\n",
        CHUNKED + (b"1;a=" + b"v" * 100 + b"\r\nx\r\n") * 20 + b"0\r\n\r\n",
        431,
    ),
    "body by its length": (
        {"limit_body": 10},
        POST + b"Content-Length: 10\r\n\r\n0123456789",
        POST + b"Content-Length: 11\r\n\r\n",
        413,
    ),
    "body in chunks": (
        {"limit_body": 10},
        CHUNKED + b"5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n",
        CHUNKED + b"5\r\n01234\r\n5\r\n56789\r\n1\r\nx\r\n0\r\n\r\n",
        413,
    ),
    "no body at all": (
        {"limit_body": 0},
        POST + b"Content-Length: 0\r\n\r\n",
        POST + b"Content-Length: 1\r\n\r\nx",
        413,
    ),
}


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("step", [1_000_000, 50])
def test_limit(serve: Callable[..., Running], name: str, step: int) -> None:
    """What is within is served, what is beyond is refused, in one piece or in many."""
    options, within, beyond, status = LIMITS[name]
    client = serve(apps.echo, **options).connect()
    for data, wanted in ((within, 200), (beyond, status)):
        for offset in range(0, len(data), step):
            client.send(data[offset : offset + step])
        assert client.response().status == wanted
    assert client.closed()


def test_body_beyond_the_limit_is_not_asked_for(serve: Callable[..., Running]) -> None:
    """RFC 9110, section 10.1.1: a final status in place of the 100."""
    client = serve(apps.echo, limit_body=10).connect()
    client.send(POST, b"Content-Length: 11\r\nExpect: 100-continue\r\n\r\n")
    assert client.response().status == 413
    assert client.closed()


def test_application_is_told_when_the_body_grows_beyond_the_limit(serve: Callable[..., Running]) -> None:
    saw: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        while True:
            message = await receive()
            saw.append((message["type"], message.get("body")))
            if message["type"] == "http.disconnect":
                return

    client = serve(app, limit_body=3).connect().send(CHUNKED + b"3\r\nabc\r\n")
    wait_until(lambda: saw == [("http.request", b"abc")])
    client.send(b"1\r\nd\r\n")
    assert client.response().status == 413
    wait_until(lambda: saw[-1][0] == "http.disconnect")


def test_unread_body_and_unwritten_response(serve: Callable[..., Running]) -> None:
    """A small buffer for each: both sides wait for each other, and all arrives."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        more = True
        while more:
            message = await receive()
            largest.append(len(message["body"]))
            more = message["more_body"]
            await send({"type": "http.response.body", "body": message["body"], "more_body": more})
            await asyncio.sleep(0)

    largest: list[int] = []
    client = serve(app, limit_unread_body=1000, limit_unwritten=1000).connect()
    body = bytes(range(256)) * 1000
    client.send(POST, b"Content-Length: %d\r\n\r\n" % len(body), body)
    assert client.response().body == body
    assert len(largest) > 1

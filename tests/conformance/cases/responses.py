"""What is written (RFC 9110, sections 6.6, 8.6, 9.3.2 and 15; RFC 9112, sections 6 and 7)."""

from __future__ import annotations

import re
from typing import Any

from tests.conformance.case import Answer, Case, Then, case, get, post, served

FRAMING = "RFC 9112, 6.3"
LENGTH = "RFC 9110, 8.6"
NO_FRAME = {"content-length": None, "transfer-encoding": None}
DATE = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT")


def status(code: int, section: str, target: bytes, **more: Any) -> Case:
    return case(f"{target.decode()} says {code}", section, get(target), Answer((code,), **more))


CASES: tuple[Case, ...] = (
    served("a body without a length is delimited", FRAMING, get(b"/no-length"), b"hello"),
    served("a stream is chunked", "RFC 9112, 7.1", get(b"/stream"), b"onetwothree",
           headers={"transfer-encoding": "chunked", "content-length": None}),
    served("a stream with its length", FRAMING, get(b"/stream-length"), b"onetwo",
           headers={"transfer-encoding": None, "content-length": "6"}),
    served("a large body", FRAMING, get(b"/large"), b"x" * 1_000_000),
    served("a large stream", FRAMING, get(b"/large-stream"), b"x" * 500_000),
    served("an application that says chunked itself", "ASGI, Response Start", get(b"/own-chunked"), b"hello"),
    served("an empty body by default", "ASGI, Response Body", get(b"/no-more-body-key"), b""),
    served("no headers by default", "ASGI, Response Start", get(b"/no-headers-key"), b"hello"),
    served("headers in lists", "ASGI, Response Start", get(b"/list-headers"), b"x", headers={"x-a": "1"}),
    served("100 headers", "ASGI, Response Start", get(b"/many-headers"), b"x", headers={"x-0": "v", "x-99": "v"}),
    served("headers in upper case", "RFC 9110, 5.1", get(b"/upper-header"), b"x", headers={"x-upper": "1"}),
    served("bytes above ASCII in a header", "RFC 9110, 5.5", get(b"/obs-text"), b"x", headers={"x-text": "caf\u00e9"}),
    served("an application's own Date and Server", "RFC 9110, 6.6.1", get(b"/own-date"), b"x",
           headers={"date": "today", "server": "me"}),
    served("an application that closes", "RFC 9112, 9.6", get(b"/close"), b"x", headers={"connection": "close"},
           then=Then.CLOSED),
    status(204, "RFC 9110, 15.3.5", b"/204", headers=NO_FRAME),
    status(204, LENGTH, b"/204-length", headers=NO_FRAME),
    status(304, "RFC 9110, 15.4.5", b"/304", headers={"transfer-encoding": None, "etag": '"x"'}),
    status(304, LENGTH, b"/304-length", headers={"content-length": "5"}),
    status(205, "RFC 9110, 15.3.6", b"/205", body=b""),
    status(404, "RFC 9110, 15.5.5", b"/404", body=b"no"),
    status(299, "RFC 9112, 4", b"/299", body=b"x"),
    status(599, "RFC 9112, 4", b"/599", body=b"x"),
    case("HEAD of 204", "RFC 9110, 9.3.2", get(b"/204", method=b"HEAD"), Answer((204,))),
    case("HEAD of a large body", "RFC 9110, 9.3.2", get(b"/large", method=b"HEAD"),
         Answer(to_head=True, headers={"content-length": "1000000"})),
    case("HEAD of a stream with its length", "RFC 9110, 9.3.2", get(b"/stream-length", method=b"HEAD"),
         Answer(to_head=True, headers={"content-length": "6"})),
    case("HEAD of an error", "RFC 9110, 9.3.2", get(b"/404", method=b"HEAD"), Answer((404,), to_head=True)),
    case("HEAD of an application that fails", "RFC 9110, 9.3.2", get(b"/raise", method=b"HEAD"),
         Answer((500,), to_head=True), then=Then.ANY, or_closed=True),
    case("HEAD that is refused", "RFC 9110, 9.3.2", b"HEAD / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
         Answer((400,), to_head=True), then=Then.CLOSED, or_closed=True),
    case("a WebSocket by HEAD is none", "RFC 6455, 4.1", get(b"/hello", b"Connection: Upgrade", b"Upgrade: websocket",
         b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", method=b"HEAD"),
         Answer(to_head=True)),
    case("an answer before its body has come", "RFC 9112, 9.3",
         (post(b"Content-Length: 3", target=b"/hello"), b"abc"), Answer(body=b"hello")),
    case("two answers on one connection", "RFC 9112, 9.3", get(b"/stream") + get(b"/large-stream"),
         Answer(body=b"onetwothree"), Answer(body=b"x" * 500_000)),
)  # fmt: skip

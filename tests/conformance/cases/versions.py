"""The version (RFC 9112, section 2.3; RFC 9110, section 2.5)."""

from __future__ import annotations

from tests.conformance.case import HOST, Answer, Case, Then, case, fields, get, post, refused, served

VERSION = "RFC 9112, 2.3"
OLD = "RFC 9112, C.2.2"


def version(text: bytes) -> bytes:
    return b"GET /hello " + text + b"\r\n" + HOST + b"\r\n"


def old(*lines: bytes, target: bytes = b"/hello") -> bytes:
    return b"GET " + target + b" HTTP/1.0\r\n" + fields(*lines) + b"\r\n"


CLOSE = {"connection": "close"}

CASES: tuple[Case, ...] = (
    served("HTTP/1.1", VERSION, get(b"/hello"), b"hello"),
    served("HTTP/1.0 needs no Host", "RFC 9112, 3.2", old(), b"hello", then=Then.CLOSED),
    served("HTTP/1.0 with a Host", VERSION, old(b"Host: a"), b"hello", then=Then.CLOSED),
    served("HTTP/1.0 ends with its answer", "RFC 9112, 9.3", old(), b"hello", then=Then.CLOSED),
    served("HTTP/1.0 with keep-alive may go on", OLD, old(b"Connection: keep-alive"), b"hello", then=Then.ANY),
    served("HTTP/1.0 stream ends with the connection", "RFC 9112, 6.1", old(target=b"/stream"), b"onetwothree",
           headers={"transfer-encoding": None}, then=Then.CLOSED),
    served("HTTP/1.0 stream in spite of keep-alive", "RFC 9112, 6.1", old(b"Connection: keep-alive", target=b"/stream"),
           b"onetwothree", headers={"transfer-encoding": None}, then=Then.CLOSED),
    case("HTTP/1.0 has no 100", "RFC 9110, 10.1.1",
         post(b"Content-Length: 3", b"Expect: 100-continue", version=b"1.0") + b"abc", Answer(body=b"abc"),
         then=Then.CLOSED),
    case("HTTP/1.0 waits for its body without a 100", "RFC 9110, 10.1.1",
         post(b"Content-Length: 3", b"Expect: 100-continue", version=b"1.0"), then=Then.WAITING),
    refused("HTTP/1.0 with two Hosts", "RFC 9112, 3.2", old(b"Host: a", b"Host: b")),
    served("HTTP/1.0 with a body", VERSION, post(b"Content-Length: 3", body=b"abc", version=b"1.0"), b"abc",
           then=Then.CLOSED),
    served("the application sees 1.0", "ASGI, HTTP scope", old(target=b"/scope"), inside={"http_version": "1.0"},
           then=Then.CLOSED),
    served("the application sees 1.1", "ASGI, HTTP scope", get(b"/scope"), inside={"http_version": "1.1"}),
    refused("HTTP/0.9", VERSION, b"GET /hello\r\n\r\n", 505, 400),
    refused("HTTP/0.9 with its spaces", VERSION, b"GET /hello \r\n\r\n", 400, 505),
    refused("HTTP/0.9 by name", VERSION, version(b"HTTP/0.9"), 505, 400),
    refused("HTTP/2.0", "RFC 9110, 15.6.6", version(b"HTTP/2.0"), 505, 400),
    refused("HTTP/3.0", "RFC 9110, 15.6.6", version(b"HTTP/3.0"), 505, 400),
    refused("HTTP/9.9", "RFC 9110, 15.6.6", version(b"HTTP/9.9"), 505, 400),
    case("HTTP/1.2", "RFC 9110, 2.5", version(b"HTTP/1.2"), Answer((505, 200)), then=Then.ANY),
    refused("no minor version", VERSION, version(b"HTTP/1")),
    refused("a version without its dot", VERSION, version(b"HTTP/11")),
    refused("zeros before the digits", VERSION, version(b"HTTP/01.01")),
    refused("two digits", VERSION, version(b"HTTP/1.10"), 400, 505),
    refused("a space in the version", VERSION, version(b"HTTP/ 1.1")),
    refused("a version in lower case", VERSION, version(b"http/1.1")),
    refused("another protocol", VERSION, version(b"HTCPCP/1.0")),
    refused("no version's name", VERSION, version(b"1.1")),
    refused("a comma in the version", VERSION, version(b"HTTP/1,1")),
    refused("letters in the version", VERSION, version(b"HTTP/x.y")),
)  # fmt: skip

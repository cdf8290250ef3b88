"""Connections, expectations and upgrades (RFC 9112, section 9; RFC 9110, sections 7.8 and 10.1.1)."""

from __future__ import annotations

from tests.conformance.case import HOST, Answer, Case, Then, case, fields, get, post, refused, served

PERSISTENT = "RFC 9112, 9.3"
PIPELINE = "RFC 9112, 9.3.2"
TEARDOWN = "RFC 9112, 9.6"
EXPECT = "RFC 9110, 10.1.1"
UPGRADE = "RFC 9110, 7.8"
HELLO, SLOW = Answer(body=b"hello"), Answer(body=b"slow")
CONTINUE = Answer((100,))
KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
WEBSOCKET = (b"Connection: Upgrade", b"Upgrade: websocket", KEY, b"Sec-WebSocket-Version: 13")
EXPECTING = post(b"Content-Length: 3", b"Expect: 100-continue")
CLOSING = {"connection": "close"}


def upgrade(name: str, *lines: bytes, body: bytes = b"") -> Case:
    return served(name, UPGRADE, post(b"Connection: Upgrade", *lines, body=body), b"abc")


CASES: tuple[Case, ...] = (
    served("a connection goes on", PERSISTENT, get(b"/hello"), b"hello"),
    served("Connection: keep-alive", PERSISTENT, get(b"/hello", b"Connection: keep-alive"), b"hello"),
    served("Connection: close", TEARDOWN, get(b"/hello", b"Connection: close"), b"hello", headers=CLOSING,
           then=Then.CLOSED),
    served("Connection: Close in another case", TEARDOWN, get(b"/hello", b"Connection: Close"), b"hello",
           then=Then.CLOSED),
    served("close in a list", TEARDOWN, get(b"/hello", b"Connection: x-a, close"), b"hello", then=Then.CLOSED),
    served("close in a second field", TEARDOWN, get(b"/hello", b"Connection: x-a", b"Connection: close"), b"hello",
           then=Then.CLOSED),
    served("close counts before keep-alive", PERSISTENT, get(b"/hello", b"Connection: keep-alive, close"), b"hello",
           then=Then.CLOSED),
    served("what follows a close is not answered", TEARDOWN, get(b"/hello", b"Connection: close") + get(b"/hello"),
           b"hello", then=Then.CLOSED),
    served("close with a body", TEARDOWN, post(b"Connection: close", b"Content-Length: 3", body=b"abc"), b"abc",
           then=Then.CLOSED),
    case("pipelined requests are answered in order", PIPELINE, get(b"/slow") + get(b"/hello") + get(b"/slow"),
         SLOW, HELLO, SLOW),
    case("100 pipelined requests", PIPELINE, get(b"/hello") * 100, *[HELLO] * 100),
    case("pipelined requests with bodies", PIPELINE,
         post(b"Content-Length: 1", body=b"a") + post(b"Transfer-Encoding: chunked", body=b"1\r\nb\r\n0\r\n\r\n") + get(),
         Answer(body=b"a"), Answer(body=b"b"), Answer(body=b"")),
    case("a pipelined request that is refused", PIPELINE, get(b"/slow") + b"GET / HTTP/1.1\r\n\r\n" + get(b"/hello"),
         SLOW, Answer((400,)), then=Then.CLOSED),
    case("a pipelined HEAD", PIPELINE, get(b"/hello", method=b"HEAD") + get(b"/hello"), Answer(to_head=True), HELLO),
    case("a pipelined 204", PIPELINE, get(b"/204") + get(b"/hello"), Answer((204,)), HELLO),
    case("a request after an unread body", PIPELINE, post(b"Content-Length: 3", body=b"abc", target=b"/hello") + get(b"/slow"),
         HELLO, SLOW),
    case("a request in two pieces", "RFC 9112, 2.2", (get(b"/hello")[:9], get(b"/hello")[9:]), HELLO),
    case("a head in single bytes", "RFC 9112, 2.2", tuple(bytes([byte]) for byte in get(b"/hello")), HELLO),
    case("a client that has said all", TEARDOWN, get(b"/slow"), SLOW, then=Then.CLOSED, half_close=True,
         or_closed=True),
    case("a client that has said all, of two", TEARDOWN, get(b"/slow") + get(b"/hello"), SLOW, HELLO, then=Then.CLOSED,
         half_close=True, or_closed=True),
    case("a client that says nothing", TEARDOWN, b"", then=Then.CLOSED, half_close=True),
    case("a client that ends in a head", TEARDOWN, b"GET / HT", then=Then.CLOSED, half_close=True),
    *(
        case(f"a head that ends after {piece!r} is waited for", "RFC 9112, 2.2", piece, then=Then.WAITING)
        for piece in (b"G", b"GET ", b"GET /hello", b"GET /hello HTTP", b"GET /hello HTTP/1.1", b"GET /hello HTTP/1.1\r",
                      b"GET /hello HTTP/1.1\r\n", b"GET /hello HTTP/1.1\r\nHos", b"GET /hello HTTP/1.1\r\nHost:",
                      b"GET /hello HTTP/1.1\r\nHost: a\r\n", b"GET /hello HTTP/1.1\r\nHost: a\r\n\r", b"\r\n")
    ),
    case("Expect: the body is asked for", EXPECT, (EXPECTING, b"abc"), CONTINUE, Answer(body=b"abc")),
    case("Expect: in another case", EXPECT, (post(b"Content-Length: 3", b"Expect: 100-Continue"), b"abc"), CONTINUE,
         Answer(body=b"abc")),
    case("Expect: where the body has come", EXPECT, EXPECTING + b"abc", Answer(body=b"abc"), or_continue=True),
    case("Expect: with chunks", EXPECT,
         (post(b"Transfer-Encoding: chunked", b"Expect: 100-continue"), b"3\r\nabc\r\n0\r\n\r\n"),
         CONTINUE, Answer(body=b"abc")),
    case("Expect: an answer without the body closes or waits", EXPECT,
         post(b"Content-Length: 3", b"Expect: 100-continue", target=b"/hello"), HELLO, then=Then.ANY),
    case("Expect: without a body", EXPECT, get(b"/hello", b"Expect: 100-continue"), HELLO),
    refused("Expect: something else", EXPECT, get(b"/hello", b"Expect: 200-ok"), 417, 200),
    refused("Expect: something else with a body", EXPECT, post(b"Content-Length: 3", b"Expect: a=b", body=b"abc"), 417, 200),
    upgrade("an unknown protocol is ignored, its body kept", b"Upgrade: foo/2", b"Content-Length: 3", body=b"abc"),
    upgrade("an unknown protocol with chunks", b"Upgrade: foo", b"Transfer-Encoding: chunked",
            body=b"3\r\nabc\r\n0\r\n\r\n"),
    case("h2c may be ignored", UPGRADE,
         post(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__",
              b"Content-Length: 3", body=b"abc"), Answer((200, 101), body=b"abc"), then=Then.ANY),
    upgrade("a WebSocket by POST is none", *WEBSOCKET[1:], b"Content-Length: 3", body=b"abc"),
    served("TLS by upgrade is ignored", UPGRADE, get(b"/hello", b"Connection: Upgrade", b"Upgrade: TLS/1.0"), b"hello"),
    served("Upgrade without its connection option", UPGRADE, get(b"/hello", *WEBSOCKET[1:]), b"hello"),
    served("an upgrade in HTTP/1.0", UPGRADE, get(b"/hello", *WEBSOCKET, version=b"1.0"), b"hello", then=Then.CLOSED),
    case("two requests after an unknown upgrade", UPGRADE,
         post(b"Connection: Upgrade", b"Upgrade: foo", b"Content-Length: 3", body=b"abc") + get(b"/hello"),
         Answer(body=b"abc"), HELLO),
    case("a WebSocket of another version", "RFC 6455, 4.4",
            b"GET / HTTP/1.1\r\n" + HOST + fields(*WEBSOCKET[:3], b"Sec-WebSocket-Version: 99") + b"\r\n",
         Answer((426, 400)), then=Then.ANY, or_closed=True),
    case("a WebSocket without a key", "RFC 6455, 4.2.1",
            b"GET / HTTP/1.1\r\n" + HOST + fields(*WEBSOCKET[:2], WEBSOCKET[3]) + b"\r\n",
         Answer((400, 426)), then=Then.ANY, or_closed=True),
)  # fmt: skip

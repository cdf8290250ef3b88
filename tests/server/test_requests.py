"""What arrives: heads, bodies, pipelining, and how malformed input is refused."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from tests.server import apps
from tests.server.fakes import FakeLoop, connected
from tests.server.wire import HOST, Running, wait_until


def post(*headers: bytes, body: bytes = b"", version: bytes = b"1.1") -> bytes:
    lines = b"".join(header + b"\r\n" for header in headers)
    return b"POST / HTTP/" + version + b"\r\n" + HOST + lines + b"\r\n" + body


def test_scope_says_what_the_client_sent(serve: Any) -> None:
    running = serve(apps.show_scope, root_path="/mount")
    client = running.connect().get(b"/a%20b/%C3%A9?x=%20&y", b"X-One:  1 \t", b"x-two:")
    scope = json.loads(client.response().body)
    assert scope["type"] == "http"
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.3"}
    assert scope["http_version"] == "1.1"
    assert scope["method"] == "GET"
    assert scope["scheme"] == "http"
    assert scope["root_path"] == "/mount"
    assert scope["path"] == "/mount/a b/é"
    assert scope["raw_path"] == "/mount/a%20b/%C3%A9"
    assert scope["query_string"] == "x=%20&y"
    assert scope["server"] == ["127.0.0.1", running.port]
    assert scope["client"] == ["127.0.0.1", client.sock.getsockname()[1]]
    # RFC 9112, section 5.1: white space around a value is no part of it.
    assert scope["headers"] == [["host", "a"], ["x-one", "1"], ["x-two", ""]]


def test_keep_alive_and_head_in_single_bytes(serve: Any) -> None:
    client = serve(apps.hello).connect()
    for byte in b"GET / HTTP/1.1\r\nHost: a\r\n\r\n":
        client.send(bytes([byte]))
    assert client.response().body == b"hello"
    assert client.get().response().body == b"hello"


def test_empty_lines_before_a_request_are_ignored(serve: Any) -> None:
    """RFC 9112, section 2.2."""
    assert serve(apps.hello).connect().send(b"\r\n\r\n").get().response().status == 200


def test_pipelined_requests_are_answered_in_order(serve: Any) -> None:
    """RFC 9112, section 9.3.2; far more than the server lets wait, in one write and a slow one in between."""
    client = serve(apps.path).connect()
    names = [b"/slow" if index % 100 == 0 else b"/%d" % index for index in range(1500)]
    client.send(b"".join(b"GET " + name + b" HTTP/1.1\r\nHost: a\r\n\r\n" for name in names))
    assert [client.response().body for _ in names] == names


def test_pipelined_requests_that_wait_are_bounded(serve: Any) -> None:
    witness = apps.Witness()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await witness.until_go()
        await apps.respond(send)

    running = serve(app)
    client = running.connect()
    client.sock.settimeout(0.3)
    request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 1000
    sent = 0
    try:
        while sent < 400:
            client.send(request)
            sent += 1
    except TimeoutError:
        pass
    assert sent < 400  # 11 MB: the server stopped reading
    witness.go.set()


def test_small_reads_of_pipelined_requests_are_bounded_too() -> None:
    """Each read is less than a slice, and the first answer does not come."""
    _, connection, transport = connected(FakeLoop())
    for _ in range(20):
        connection.data_received(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert not transport.reading


def test_bodies_of_requests_that_wait_are_bounded() -> None:
    _, connection, transport = connected(FakeLoop())
    request = post(b"Content-Length: 40000", body=b"x" * 40_000)
    for _ in range(3):
        assert transport.reading
        connection.data_received(request)
    connection.data_received(request[:100])
    assert not transport.reading


def test_nothing_is_said_after_the_last_answer(serve: Any) -> None:
    """RFC 9112, section 9.6: a malformed request behind an answer that closes gets no refusal."""
    client = serve(apps.sending()).connect()
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" + b"GET / HTTP/1.1\r\n\r\n")
    assert client.response().status == 500
    assert client.closed()


@pytest.mark.parametrize("pieces", [1, 3])
def test_body_with_content_length(serve: Any, pieces: int) -> None:
    client = serve(apps.echo).connect()
    body = b"0123456789" * 30_000
    request = post(b"Content-Length: %d" % len(body), body=body)
    step = len(request) // pieces + 1
    for offset in range(0, len(request), step):
        client.send(request[offset : offset + step])
    assert client.response().body == body
    assert client.get().response().status == 200


def test_chunked_body_with_extensions_and_trailers(serve: Any) -> None:
    """RFC 9112, section 7.1: extensions are ignored, and a trailer must not become a header (section 7.1.2)."""
    client = serve(apps.echo).connect()
    chunks = b'3;name="x"\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: 1\r\nHost: b\r\n\r\n'
    client.send(post(b"Transfer-Encoding: chunked", body=chunks) + post(b"Content-Length: 1", body=b"z"))
    assert client.response().body == b"abcde"
    assert client.response().body == b"z"


def test_many_tiny_chunks(serve: Any) -> None:
    client = serve(apps.echo).connect()
    client.send(post(b"Transfer-Encoding: chunked", body=b"1\r\nx\r\n" * 200_000 + b"0\r\n\r\n"))
    assert client.response().body == b"x" * 200_000


@pytest.mark.parametrize("chunked", [False, True])
def test_reading_pauses_while_the_application_does_not_receive(serve: Any, chunked: bool) -> None:
    witness = apps.Witness()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await witness.until_go()
        size = largest = 0
        while True:
            message = await receive()
            largest = max(largest, len(message["body"]))
            size += len(message["body"])
            if not message["more_body"]:
                break
        await apps.respond(send, b"%d %d" % (size, largest))

    running = serve(app)
    client = running.connect()
    size = 30_000_000
    if chunked:
        client.send(post(b"Transfer-Encoding: chunked"))
        piece = b"186a0\r\n" + b"x" * 100_000 + b"\r\n"
    else:
        client.send(post(b"Content-Length: %d" % size))
        piece = b"x" * 100_000
    client.sock.settimeout(0.3)
    total = piece * 300 + (b"0\r\n\r\n" if chunked else b"")
    sent = 0
    try:
        while sent < len(total):
            sent += client.sock.send(total[sent : sent + 1_000_000])
    except TimeoutError:
        pass
    assert sent < len(total)  # what the kernel holds, and no more
    witness.go.set()
    client.sock.settimeout(10)
    client.send(total[sent:])
    received, largest = client.response().body.split()
    assert int(received) == size
    assert int(largest) < 1_000_000


def test_expect_continue_is_answered_on_receive(serve: Any) -> None:
    """RFC 9110, section 10.1.1."""
    client = serve(apps.echo).connect()
    client.send(post(b"Content-Length: 3", b"Expect: 100-continue"))
    assert client.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"abc")
    assert client.response().body == b"abc"
    assert client.get().response().status == 200


def test_no_continue_when_the_body_is_there(serve: Any) -> None:
    client = serve(apps.echo).connect()
    client.send(post(b"Content-Length: 3", b"Expect: 100-continue", body=b"abc"))
    assert client.response().status == 200


def test_no_continue_to_http_1_0(serve: Any) -> None:
    """RFC 9110, section 10.1.1: such a client would take it for its answer."""
    client = serve(apps.echo).connect()
    client.send(post(b"Content-Length: 3", b"Expect: 100-continue", version=b"1.0"))
    client.sock.settimeout(0.05)
    with pytest.raises(TimeoutError):
        client.read_bytes(1)
    client.sock.settimeout(10)
    client.send(b"abc")
    assert client.response().body == b"abc"


def test_answer_without_continue_closes(serve: Any) -> None:
    """The client may or may not send its body now: what follows would be ambiguous."""
    client = serve(apps.hello).connect()
    client.send(post(b"Content-Length: 3", b"Expect: 100-continue"))
    response = client.response()
    assert response.status == 200
    assert response.header("connection") == "close"
    assert client.closed()


def test_unread_body_is_skipped_before_the_next_request(serve: Any) -> None:
    client = serve(apps.hello).connect()
    body = b"x" * 3_000_000
    client.send(post(b"Content-Length: %d" % len(body)))
    assert client.response().status == 200
    client.send(body)
    assert client.get().response().status == 200


def test_a_body_that_came_with_its_head_and_is_not_received_holds_up_nothing() -> None:
    """One read may hold more of a body than may wait unread."""
    _, connection, transport = connected(FakeLoop())
    connection.data_received(post(b"Content-Length: 100000", body=b"x" * 100_000))
    assert not transport.reading
    assert connection.cycle is not None
    with pytest.raises(StopIteration):
        connection.cycle.run(apps.hello).send(None)
    assert transport.reading


def test_asgi_receive_after_the_response_says_disconnect(serve: Any) -> None:
    """ASGI, "Disconnect - receive event": sent if receive is called after a response has been sent."""
    saw: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await apps.respond(send)
        saw.extend([(await receive())["type"], (await receive())["type"]])

    client = serve(app).connect()
    for request in (post(b"Content-Length: 0"), post(b"Content-Length: 3", body=b"abc")):
        assert client.send(request).response().status == 200
    wait_until(lambda: len(saw) == 4)
    assert set(saw) == {"http.disconnect"}


@pytest.mark.parametrize("protocol", [b"foo", b"websocket", b"h2c"])
@pytest.mark.parametrize("chunked", [False, True])
def test_unknown_upgrade_is_ignored_and_its_body_kept(serve: Any, protocol: bytes, chunked: bool) -> None:
    """RFC 9110, section 7.8: a server may ignore Upgrade; the request is then an ordinary one."""
    client = serve(apps.echo).connect()
    upgrade = [b"Connection: Upgrade", b"Upgrade: " + protocol]
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 3"
    body = b"3\r\nabc\r\n0\r\n\r\n" if chunked else b"abc"
    client.send(post(*upgrade, framing, body=body) + post(*upgrade) + post(b"Content-Length: 1", body=b"z"))
    assert client.response().body == b"abc"
    assert client.response().body == b""
    assert client.response().body == b"z"
    client.send(post(*upgrade, framing), body[:2])
    client.send(body[2:])
    assert client.response().body == b"abc"


def test_absolute_form_replaces_the_host(serve: Any) -> None:
    """RFC 9112, section 3.2.2."""
    client = serve(apps.show_scope).connect().get(b"http://other:81/p?q")
    scope = json.loads(client.response().body)
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/p", "/p", "q")
    assert ["host", "other:81"] in scope["headers"]
    assert ["host", "a"] not in scope["headers"]


def test_asterisk_form(serve: Any) -> None:
    """RFC 9112, section 3.2.4."""
    client = serve(apps.path).connect().get(b"*", method=b"OPTIONS")
    assert client.response().body == b"*"


REFUSED = {
    "no Host (RFC 9112, section 3.2)": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two Hosts (RFC 9112, section 3.2)": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    "invalid Host (RFC 9112, section 3.2)": (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    "Host with a path": (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    "Transfer-Encoding and Content-Length (RFC 9112, section 6.1)": (
        post(b"Transfer-Encoding: chunked", b"Content-Length: 3"), 400),
    "Content-Length and Transfer-Encoding": (post(b"Content-Length: 3", b"Transfer-Encoding: chunked"), 400),
    "two Content-Lengths (RFC 9112, section 6.3)": (post(b"Content-Length: 3", b"Content-Length: 4"), 400),
    "list of Content-Lengths": (post(b"Content-Length: 3, 4"), 400),
    "signed Content-Length (RFC 9110, section 8.6)": (post(b"Content-Length: +3"), 400),
    "negative Content-Length": (post(b"Content-Length: -3"), 400),
    "huge Content-Length": (post(b"Content-Length: 99999999999999999999999"), 400),
    "Transfer-Encoding in HTTP/1.0 (RFC 9112, section 6.1)": (
        post(b"Transfer-Encoding: chunked", version=b"1.0"), 400),
    "unknown transfer coding (RFC 9112, section 6.1)": (post(b"Transfer-Encoding: gzip, chunked"), 501),
    "chunked not last (RFC 9112, section 6.3)": (post(b"Transfer-Encoding: chunked, gzip"), 400),
    "white space before the colon (RFC 9112, section 5.1)": (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    "folded header (RFC 9112, section 5.2)": (b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n", 400),
    "NUL in a header (RFC 9110, section 5.5)": (b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\0002\r\n\r\n", 400),
    "bare CR in a header": (b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r2\r\n\r\n", 400),
    "unknown method (RFC 9110, section 9.1)": (b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    "CONNECT (RFC 9110, section 9.3.6)": (b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 501),
    "HTTP/2.0 head": (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "garbage": (b"hello there\r\n\r\n", 400),
    "relative target": (b"GET index.html HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "another scheme's target": (b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "user in the target (RFC 9110, section 4.2.4)": (b"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "fragment in the target": (b"GET /x#y HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "asterisk without OPTIONS": (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "long target (RFC 9112, section 3)": (b"GET /" + b"x" * 17_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    "endless target": (b"GET /" + b"x" * 500_000, 414),
    "long header (RFC 6585, section 5)": (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 500_000, 431),
    "many headers (RFC 6585, section 5)": (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: 1\r\n" * 300 + b"\r\n", 431),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("after", [0, 2])
def test_refused(serve: Any, name: str, after: int) -> None:
    """Refused with one response and a closed connection, after the answers to good requests before it."""
    data, status = REFUSED[name]
    client = serve(apps.path).connect()
    good = b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n" * after
    client.send(good + data + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    for _ in range(after):
        assert client.response().status == 200
    response = client.response()
    assert response.status == status
    assert response.header("connection") == "close"
    assert client.closed()


@pytest.mark.parametrize("data", [b"zz\r\nabc\r\n", b"3\r\nabcd\r\n", b"-3\r\n", b"ffffffffffffffffff\r\n"])
def test_malformed_chunks(serve: Any, data: bytes) -> None:
    """RFC 9112, section 7.1. The application never sees a whole body."""
    saw: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        while True:
            message = await receive()
            saw.append(message["type"])
            if message["type"] == "http.disconnect":
                return
            assert message["more_body"]

    client = serve(app).connect()
    client.send(post(b"Transfer-Encoding: chunked"), b"1\r\nx\r\n")
    client.send(data)
    assert client.response().status == 400
    assert client.closed()
    wait_until(lambda: saw[-1:] in ([], ["http.disconnect"]))


@pytest.mark.parametrize(
    "data", [b"1;" + b"x" * 300_000, b"0\r\nX: " + b"x" * 300_000, b"0\r\n" + b"X: y\r\n" * 60_000]
)
def test_chunk_extensions_and_trailers_are_bounded(serve: Any, data: bytes) -> None:
    client = serve(apps.echo).connect()
    client.send(post(b"Transfer-Encoding: chunked"), data)
    assert client.response().status in (400, 431)


def test_half_closed_client_gets_its_answer(serve: Any) -> None:
    """RFC 9112, section 9.6, speaks of half-closed connections: the request was whole."""
    client = serve(apps.path).connect()
    client.get(b"/slow").send(post(b"Content-Length: 0").replace(b"/ ", b"/second "))
    client.sock.shutdown(socket.SHUT_WR)
    assert client.response().body == b"/slow"
    assert client.response().body == b"/second"
    assert client.closed()


def test_half_closed_client_with_a_body_not_yet_received(serve: Any) -> None:
    witness = apps.Witness()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await witness.until_go()
        body = await apps.whole_body(receive)
        witness.saw.append((await receive())["type"])
        await apps.respond(send, body)

    client = serve(app).connect().send(post(b"Content-Length: 3", body=b"abc"))
    assert witness.at_work.wait(5)
    client.sock.shutdown(socket.SHUT_WR)
    witness.go.set()
    assert client.response().body == b"abc"
    assert witness.saw == ["http.disconnect"]


def test_connection_close_is_honoured(serve: Any) -> None:
    """RFC 9112, section 9.6: nothing after it is processed."""
    client = serve(apps.hello).connect().get(b"/", b"Connection: close").get()
    response = client.response()
    assert response.header("connection") == "close"
    assert client.closed()


@pytest.mark.parametrize("keep", [False, True])
def test_http_1_0(serve: Any, keep: bool) -> None:
    """RFC 9112, section 9.3."""
    client = serve(apps.hello).connect()
    client.send(b"GET / HTTP/1.0\r\n" + (b"Connection: keep-alive\r\n" if keep else b"") + b"\r\n")
    response = client.response()
    assert response.body == b"hello"
    assert response.header("connection") == ("keep-alive" if keep else "close")
    if keep:
        assert client.get().response().status == 200
    else:
        assert client.closed()


def test_unix_socket(serve: Any, tmp_path: Any) -> None:
    path = str(tmp_path / "s")
    running: Running = serve(apps.show_scope, uds=path)
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(5)
    sock.connect(path)
    sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    scope = json.loads(sock.recv(65536).partition(b"\r\n\r\n")[2])
    sock.close()
    assert scope["server"] == [path, None]
    assert scope["client"] is None
    running.stop()
    assert not (tmp_path / "s").exists()

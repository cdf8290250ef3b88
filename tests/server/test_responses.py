"""What leaves: framing, backpressure, and what a faulty application cannot put on the wire."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest

from loophound.errors import StallLimitExceeded
from tests.server import apps
from tests.server.wire import wait_until


def test_head_and_body_leave_in_one_piece(serve: Any) -> None:
    client = serve(apps.hello).connect().get()
    head = client.read_until(b"\r\n\r\n").decode()
    assert head.startswith("HTTP/1.1 200 OK\r\nserver: loophound\r\ndate: ")
    assert head.endswith(" GMT\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\n")
    assert client.read_bytes(5) == b"hello"


def test_body_in_pieces_is_chunked(serve: Any) -> None:
    """RFC 9112, section 7.1."""
    client = serve(apps.answer(200, [], b"a", b"", b"b" * 100_000, b"")).connect()
    for _ in range(2):
        response = client.get().response()
        assert response.header("transfer-encoding") == "chunked"
        assert response.header("content-length") is None
        assert response.body == b"a" + b"b" * 100_000


def test_body_in_pieces_to_http_1_0_ends_with_the_connection(serve: Any) -> None:
    """RFC 9112, section 6.1: no transfer coding to an older client."""
    client = serve(apps.answer(200, [], b"a", b"b")).connect()
    client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    response = client.response()
    assert response.header("transfer-encoding") is None
    assert response.header("connection") == "close"
    assert response.body == b"ab"


def test_declared_length_in_pieces(serve: Any) -> None:
    client = serve(apps.answer(200, [(b"Content-Length", b"3")], b"a", b"bc")).connect()
    for _ in range(2):
        response = client.get().response()
        assert response.header("transfer-encoding") is None
        assert response.body == b"abc"


@pytest.mark.parametrize("declared", [[], [(b"content-length", b"5")]])
def test_head_has_no_body(serve: Any, declared: Any) -> None:
    """RFC 9110, section 9.3.2: but the length that GET would have."""
    client = serve(apps.answer(200, declared, b"hello")).connect()
    for _ in range(2):
        response = client.get(method=b"HEAD").response(head=True)
        assert response.header("content-length") == "5"
    assert client.buffer == b""


def test_head_of_a_stream_has_no_body(serve: Any) -> None:
    client = serve(apps.answer(200, [], b"a", b"b")).connect()
    for _ in range(2):
        assert client.get(method=b"HEAD").response(head=True).header("content-length") is None


@pytest.mark.parametrize("bodies", [[b""], [b"", b""]])
def test_204_and_304(serve: Any, bodies: list[bytes]) -> None:
    """RFC 9110, sections 8.6 and 15.4.5: 204 never has a length; 304 may have that of the 200."""
    client = serve(apps.answer(204, [(b"content-length", b"0")], *bodies)).connect()
    for _ in range(2):
        response = client.get().response()
        assert (response.status, response.header("content-length")) == (204, None)
        assert response.header("transfer-encoding") is None
    client = serve(apps.answer(304, [(b"content-length", b"7")], *bodies)).connect()
    for _ in range(2):
        response = client.get().response()
        assert (response.status, response.header("content-length")) == (304, "7")


def test_own_date_server_and_unknown_status(serve: Any) -> None:
    """RFC 9112, section 4: the space before an absent phrase stays."""
    headers = [(b"Server", b"mine"), (b"date", b"today"), (b"x", b"1"), (b"x", b"2")]
    client = serve(apps.answer(299, headers, b"")).connect().get()
    assert client.read_until(b"\r\n") == b"HTTP/1.1 299 \r\n"
    rest = client.read_until(b"\r\n\r\n")
    assert rest.count(b"erver: ") == rest.count(b"date: ") == 1
    assert b"Server: mine\r\ndate: today\r\nx: 1\r\nx: 2\r\n" in rest


def test_framing_headers_of_the_application_are_ignored(serve: Any) -> None:
    """The ASGI specification, "Response Start": Transfer-Encoding is the server's business."""
    headers = [(b"Transfer-Encoding", b"chunked"), (b"Connection", b"keep-alive"), (b"Keep-Alive", b"timeout=9")]
    client = serve(apps.answer(200, headers, b"hello")).connect()
    response = client.get().response()
    assert [name for name, _ in response.headers] == ["server", "date", "content-length"]
    assert client.get().response().body == b"hello"


def test_application_may_close(serve: Any) -> None:
    client = serve(apps.answer(200, [(b"connection", b"close")], b"hello")).connect().get()
    assert client.response().header("connection") == "close"
    assert client.closed()


@pytest.mark.parametrize("headers", [lambda: [[b"x", b"1"]], lambda: ([b"x", b"1"],), lambda: iter([[b"x", b"1"]])])
def test_headers_in_any_iterable(serve: Any, headers: Any) -> None:
    assert serve(apps.answer(200, headers(), b"")).get().header("x") == "1"


START = {"type": "http.response.start", "status": 200, "headers": []}
BODY = {"type": "http.response.body", "body": b"hello"}


def started(**changes: Any) -> Any:
    return apps.sending(START | changes, BODY)


FAULTY = {
    "CR and LF in a value": (started(headers=[(b"x", b"1\r\nset-cookie: a=b")]), "CR, LF or NUL"),
    "NUL in a value": (started(headers=[(b"x", b"\0")]), "CR, LF or NUL"),
    "CR and LF in a name": (started(headers=[(b"x: 1\r\ny", b"1")]), "no header name"),
    "empty name": (started(headers=[(b"", b"1")]), "no header name"),
    "text header": (started(headers=[("x", "1")]), "are bytes"),
    "text header in a list": (started(headers=[["x", "1"]]), "are bytes"),
    "no pair": (started(headers=[b"x"]), "pair of a name and a value"),
    "no number in content-length": (started(headers=[(b"content-length", b"five")]), "is a number of bytes"),
    "two lengths": (started(headers=[(b"content-length", b"5"), (b"content-length", b"6")]), "two values"),
    "long": (started(headers=[(b"content-length", b"3")]), "content-length is 3 bytes, but the response body has 5"),
    "short": (started(headers=[(b"content-length", b"9")]), "content-length is 9 bytes, but the response body has 5"),
    "text status": (started(status="200"), "is an integer"),
    "interim status": (started(status=101), "from 200 to 999"),
    "body of a 204": (started(status=204), "204 has no body"),
    "text body": (apps.sending(START, BODY | {"body": "hello"}), "is bytes; got str"),
    "body first": (apps.sending(BODY), "where 'http.response.start' is due"),
    "two starts": (apps.sending(START, START), "where 'http.response.body' is due"),
    "unknown message": (apps.sending({"type": "http.response.push"}), "'http.response.push' was sent"),
    "no answer": (apps.sending(), "returned without sending http.response.start"),
    "start alone": (apps.sending(START), "returned without sending http.response.body"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTY)
def test_faulty_answer_becomes_a_500(serve: Any, caplog: pytest.LogCaptureFixture, name: str) -> None:
    app, log = FAULTY[name]
    client = serve(app).connect().get(b"/x?y")
    response = client.response()
    assert response.status == 500
    assert client.closed()
    assert log in caplog.text
    assert "GET /x?y" in caplog.text


def test_send_after_the_end_leaves_the_wire_alone(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    client = serve(apps.sending(START, BODY, BODY)).connect()
    for _ in range(2):
        assert client.get().response().body == b"hello"
    wait_until(lambda: "after the end of the response" in caplog.text)


MORE = BODY | {"more_body": True}
LONG = START | {"headers": [(b"content-length", b"7")]}
CUT = {
    "too long": ((LONG, MORE, BODY), "longer than its content-length", b"hello"),
    "too short": ((LONG, MORE, BODY | {"body": b"."}), "1 bytes short", b"hello"),
    "unfinished": ((LONG, MORE), "before the end of its response body", b"hello"),
    "unfinished chunks": ((START, MORE), "before the end of its response body", b"5\r\nhello\r\n"),
    "start again": ((START, MORE, START), "where 'http.response.body' is due", b"5\r\nhello\r\n"),
}


@pytest.mark.parametrize("name", CUT)
def test_faulty_stream_is_cut(serve: Any, caplog: pytest.LogCaptureFixture, name: str) -> None:
    """RFC 9112, section 8: only a closed connection tells the client that the message is incomplete."""
    messages, log, wire = CUT[name]
    client = serve(apps.sending(*messages)).connect().get()
    client.read_until(b"\r\n\r\n")
    assert client.rest() == wire
    wait_until(lambda: log in caplog.text)


@pytest.mark.parametrize("error", [ValueError("oops"), SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()])
def test_application_that_raises(serve: Any, caplog: pytest.LogCaptureFixture, error: BaseException) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        raise error

    running = serve(app)
    for _ in range(2):  # the server goes on
        response = running.get(b"/broken")
        assert response.status == 500
        assert response.header("connection") == "close"
    record = next(record for record in caplog.records if "GET /broken" in record.message)
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def test_disconnect_is_received(serve: Any) -> None:
    witness = apps.Witness()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await receive()
        witness.at_work.set()
        # Two waiters; cancelling one must not cancel the other.
        other = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        waiter = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        other.cancel()
        witness.saw.append((await waiter)["type"])
        await apps.respond(send)  # goes nowhere, and raises nothing
        witness.go.set()

    running = serve(app)
    client = running.connect().get()
    assert witness.at_work.wait(5)
    client.close()
    assert witness.go.wait(5)
    assert witness.saw == ["http.disconnect"]


def test_send_waits_for_a_client_that_does_not_read(serve: Any) -> None:
    witness = apps.Witness()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await send(START)
        for _ in range(100):
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
            witness.saw.append(1)
        await send({"type": "http.response.body"})

    client = serve(app).connect(receive_buffer=65536).get()
    client.read_until(b"\r\n\r\n")
    assert 0 < standstill(lambda: len(witness.saw)) < 100
    client.buffer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + client.buffer
    assert len(client.response().body) == 10_000_000


def standstill(count: Callable[[], int]) -> int:
    """What `count` comes to once it grows no more."""
    before = -1
    while count() != before:
        before = count()
        time.sleep(0.05)
    return before


def test_send_does_not_wait_once_the_client_is_gone(serve: Any) -> None:
    witness = apps.Witness()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await send(START)
        witness.at_work.set()
        for _ in range(400):
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
        witness.go.set()

    client = serve(app).connect(receive_buffer=65536).get()
    assert witness.at_work.wait(5)
    client.close()
    assert witness.go.wait(5)


def test_answers_that_nobody_reads_stop_further_requests(serve: Any) -> None:
    count = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal count
        assert scope["type"] == "http"
        count += 1
        await apps.respond(send, b"x" * 500_000)

    client = serve(app).connect(receive_buffer=65536)
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 400)
    assert standstill(lambda: count) < 100
    for _ in range(400):
        assert len(client.response().body) == 500_000


def test_answer_before_the_body_is_whole_reaches_a_client_that_goes_on_sending(serve: Any) -> None:
    """RFC 9112, section 9.6: a connection closed at once would be reset, and the answer lost."""
    client = serve(apps.answer(413, [(b"connection", b"close")], b"too much")).connect()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n", b"x" * 3_000_000)
    response = client.response()
    assert (response.status, response.body) == (413, b"too much")


def test_background_work_does_not_hold_up_the_next_request(serve: Any) -> None:
    witness = apps.Witness()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await apps.respond(send)
        if scope["path"] == "/work":
            await witness.until_go()
            witness.saw.append("done")

    client = serve(app).connect()
    assert client.get(b"/work").response().status == 200
    assert witness.at_work.wait(5)
    assert client.get().response().status == 200
    client.close()
    witness.go.set()
    wait_until(lambda: witness.saw)


@pytest.mark.parametrize("grouped", [False, True])
def test_a_request_that_was_interrupted_gets_503(serve: Any, grouped: bool, caplog: pytest.LogCaptureFixture) -> None:
    """What a detector raises in code that blocks for too long ends the request, not the loop."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        error = StallLimitExceeded(2.0)
        raise BaseExceptionGroup("tasks", [error]) if grouped else error

    server = serve(app)
    for _ in range(2):
        assert server.connect().get().response().status == 503
    assert "more than 2 s" in caplog.text

"""The opening handshake (RFC 6455, section 4.2)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.server.apps import Witness, respond, whole_body
from tests.server.websocket_wire import (
    ACCEPT,
    CONNECTION,
    KEY,
    TEXT,
    UPGRADE,
    VERSION,
    WebSocket,
    doing,
    echo,
    frame,
    open_websocket,
    request,
)

ACCEPTED = {"type": "websocket.accept"}


async def either(scope: Any, receive: Any, send: Any) -> None:
    """Echo over both protocols; HTTP answers with the type of the scope first."""
    if scope["type"] == "websocket":
        await echo(scope, receive, send)
    elif scope["type"] == "http":
        if scope["path"] == "/slow":
            await either.witness.until_go()  # type: ignore[attr-defined]
        await respond(send, b"http " + await whole_body(receive))
    else:
        raise RuntimeError("no lifespan")


def test_6455_4_2_2_the_answer(serve: Any) -> None:
    websocket = open_websocket(serve(echo))
    response = websocket.response
    assert response.header("sec-websocket-accept") == ACCEPT
    assert response.header("upgrade") == "websocket"
    assert response.header("connection") == "Upgrade"
    assert response.header("sec-websocket-protocol") is None
    assert response.header("content-length") is None
    assert websocket.send(frame(TEXT, b"hi")).text() == "hi"


def test_the_scope(serve: Any) -> None:
    async def show(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        await send(ACCEPTED)
        text = json.dumps(scope, default=lambda value: value.decode("latin-1"))
        await send({"type": "websocket.send", "text": text})

    server = serve(show, root_path="/app")
    websocket = open_websocket(server, b"Sec-WebSocket-Protocol: a, b", b"X-Own: 1", target=b"/p%20q?r=s")
    scope = json.loads(websocket.text())
    headers = scope.pop("headers")
    assert ["x-own", "1"] in headers
    assert scope.pop("client")[0] == "127.0.0.1"
    assert scope == {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "ws",
        "server": ["127.0.0.1", server.port],
        "root_path": "/app",
        "path": "/app/p q",
        "raw_path": "/app/p%20q",
        "query_string": "r=s",
        "subprotocols": ["a", "b"],
        "state": {},
        "extensions": {"websocket.http.response": {}},
    }


def test_6455_4_2_2_subprotocol_and_headers_of_the_application(serve: Any) -> None:
    app = doing({**ACCEPTED, "subprotocol": "b", "headers": [(b"x-own", b"1"), (b"Set-Cookie", b"a=b")]})
    response = open_websocket(serve(app), b"Sec-WebSocket-Protocol: a", b"Sec-WebSocket-Protocol: b").response
    assert response.header("sec-websocket-protocol") == "b"
    assert response.header("x-own") == "1"
    assert response.header("set-cookie") == "a=b"


@pytest.mark.parametrize(
    "accept",
    [
        {**ACCEPTED, "subprotocol": "other"},  # section 4.2.2: one of those that the client offers
        {**ACCEPTED, "headers": [(b"x", b"a\r\nb: c")]},
        {**ACCEPTED, "headers": [(b"Sec-WebSocket-Accept", b"x")]},
        {**ACCEPTED, "headers": [b"x"]},
        {"type": "websocket.send", "text": "too early"},
        {"type": "http.response.start", "status": 200},
    ],
)
def test_a_wrong_answer_of_the_application_is_500(serve: Any, accept: Any, caplog: Any) -> None:
    client = serve(doing(accept)).connect().send(request(b"Sec-WebSocket-Protocol: a", target=b"/here"))
    response = client.response()
    assert response.status == 500
    assert response.header("connection") == "close"
    assert client.closed()
    assert "WebSocket /here: the application raised" in caplog.text


@pytest.mark.parametrize("headers", [(b"Sec-WebSocket-Version: 12",), (), (VERSION, VERSION)])
def test_6455_4_4_another_version_is_426(serve: Any, headers: Any) -> None:
    client = serve(echo).connect().send(request(*headers, without=(VERSION,)))
    response = client.response()
    assert response.status == 426
    assert response.header("sec-websocket-version") == "13"
    assert response.header("upgrade") == "websocket"  # RFC 9110, section 15.5.22
    assert client.closed()


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (KEY, KEY),
        (b"Sec-WebSocket-Key: c2hvcnQ=",),
        (b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ",),
        (b"Sec-WebSocket-Key: !!!!!!!!!!!!!!!!!!!!!!==",),
    ],
)
def test_6455_4_2_1_an_invalid_key_is_400(serve: Any, headers: Any) -> None:
    client = serve(echo).connect().send(request(*headers, without=(KEY,)))
    assert client.response().status == 400
    assert client.closed()


def test_a_handshake_has_no_body(serve: Any) -> None:
    client = serve(echo).connect().send(request(b"Content-Length: 2"), b"xx")
    assert client.response().status == 400
    client = serve(echo).connect().send(request(b"Transfer-Encoding: chunked"), b"0\r\n\r\n")
    assert client.response().status == 400


def test_6455_9_1_invalid_extensions_are_400(serve: Any) -> None:
    client = serve(echo).connect().send(request(b"Sec-WebSocket-Extensions: ;;"))
    assert client.response().status == 400


def test_6455_9_1_unknown_extensions_are_ignored(serve: Any) -> None:
    assert (
        open_websocket(serve(echo), b"Sec-WebSocket-Extensions: x-own; a=1").response.header("sec-websocket-extensions")
        is None
    )


@pytest.mark.parametrize(
    "parts",
    [
        {"without": (UPGRADE,), "headers": (b"Upgrade: other",)},
        {"without": (CONNECTION,), "headers": (b"Connection: keep-alive",)},
        {"without": (UPGRADE,)},
        {"method": b"POST"},  # RFC 6455, section 4.2.1, wants a GET
    ],
)
def test_9110_7_8_other_upgrades_are_ignored(serve: Any, parts: Any) -> None:
    headers = parts.pop("headers", ())
    client = serve(either).connect()
    client.send(request(*headers, b"Content-Length: 4", **parts), b"body")
    assert client.response().body == b"http body"
    assert client.get().response().body == b"http "


def test_6455_4_2_1_words_are_matched_without_case_and_in_lists(serve: Any) -> None:
    client = serve(echo).connect()
    headers = (b"Upgrade: foo, WebSocket", b"Connection: keep-alive, UPGRADE")
    assert client.send(request(*headers, without=(UPGRADE, CONNECTION))).response().status == 101


def test_option_ws_none_ignores_the_handshake(serve: Any) -> None:
    client = serve(either, ws="none").connect().send(request())
    assert client.response().body == b"http "


def test_after_a_request_on_the_same_connection(serve: Any) -> None:
    client = serve(either).connect().get()
    assert client.response().status == 200
    websocket = WebSocket(client, client.send(request()).response())
    assert websocket.response.status == 101
    assert websocket.send(frame(TEXT, b"hi")).text() == "hi"


def test_9112_9_3_2_pipelined_behind_a_request(serve: Any) -> None:
    either.witness = witness = Witness()  # type: ignore[attr-defined]
    client = serve(either).connect().get(b"/slow")
    assert witness.at_work.wait(10)
    client.send(request(), frame(TEXT, b"early"))
    client.send(frame(TEXT, b"later"))
    witness.go.set()
    assert client.response().body == b"http "
    websocket = WebSocket(client, client.response())
    assert websocket.response.status == 101
    assert websocket.text() == "early"
    assert websocket.text() == "later"


def test_frames_that_come_with_the_handshake(serve: Any) -> None:
    client = serve(echo).connect().send(request(), frame(TEXT, b"x" * 40_000), frame(TEXT, b"two"))
    websocket = WebSocket(client, client.response())
    assert websocket.text() == "x" * 40_000
    assert websocket.text() == "two"


def test_asgi_close_before_accept_is_403(serve: Any, capsys: Any) -> None:
    server = serve(doing({"type": "websocket.close"}), access_log=True)
    client = server.connect().send(request(target=b"/no"))
    response = client.response()
    assert response.status == 403
    assert response.header("connection") == "close"
    assert client.closed()
    server.stop()
    assert '"GET /no HTTP/1.1" 403 Forbidden' in capsys.readouterr().out


def test_access_log_of_a_handshake(serve: Any, capsys: Any) -> None:
    server = serve(echo, access_log=True)
    open_websocket(server, target=b"/chat?room=1")
    server.stop()
    lines = [line for line in capsys.readouterr().out.splitlines() if "/chat" in line]
    assert len(lines) == 1
    assert '"GET /chat?room=1 HTTP/1.1" 101 Switching Protocols' in lines[0]


def denial(*bodies: bytes, status: int = 401, headers: Any = ()) -> Any:
    start = {"type": "websocket.http.response.start", "status": status, "headers": headers}
    last = len(bodies) - 1
    parts = [
        {"type": "websocket.http.response.body", "body": body, "more_body": index < last}
        for index, body in enumerate(bodies)
    ]
    return doing(start, *parts)


def test_asgi_denial_response(serve: Any) -> None:
    client = serve(denial(b"who are you", headers=[(b"x-own", b"1")])).connect().send(request())
    response = client.response()
    assert (response.status, response.body) == (401, b"who are you")
    assert response.header("x-own") == "1"
    assert response.header("connection") == "close"
    assert client.closed()


def test_asgi_denial_response_in_pieces(serve: Any) -> None:
    client = serve(denial(b"a", b"b", b"")).connect().send(request())
    assert client.response().body == b"ab"
    assert client.closed()


@pytest.mark.parametrize(
    "following",
    [
        (),
        ({"type": "websocket.accept"},),
        ({"type": "websocket.http.response.body", "body": "text"},),
    ],
)
def test_a_denial_response_that_goes_wrong_is_500(serve: Any, following: Any, caplog: Any) -> None:
    app = doing({"type": "websocket.http.response.start", "status": 401, "headers": []}, *following)
    client = serve(app).connect().send(request())
    assert client.response().status == 500
    assert client.closed()
    assert "WebSocket /: the application r" in caplog.text


def test_application_returns_without_answering_is_500(serve: Any, caplog: Any) -> None:
    client = serve(doing()).connect().send(request())
    assert client.response().status == 500
    assert client.closed()
    assert "WebSocket /: the application returned without accepting or closing the WebSocket" in caplog.text


def test_application_raises_before_answering_is_500(serve: Any, caplog: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        raise LookupError("of the application")

    client = serve(app).connect().send(request())
    assert client.response().status == 500
    assert client.closed()
    assert "LookupError: of the application" in caplog.text


def test_client_leaves_before_the_answer(serve: Any) -> None:
    seen: list[Any] = []
    witness = Witness()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        seen.append(await receive())
        witness.at_work.set()
        seen.append(await receive())
        try:
            await send(ACCEPTED)
        except OSError as error:
            seen.append(error)
        witness.go.set()

    client = serve(app).connect().send(request())
    assert witness.at_work.wait(10)
    client.close()
    assert witness.go.wait(10)
    assert [message["type"] for message in seen[:2]] == ["websocket.connect", "websocket.disconnect"]
    assert seen[1]["code"] == 1006
    assert isinstance(seen[2], OSError)

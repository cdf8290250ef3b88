"""The closing handshake (RFC 6455, section 7), pings, lost clients and the server's stop."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.server.apps import Witness
from tests.server.test_tls import Files, connect
from tests.server.websocket_wire import (
    CLOSE,
    PING,
    PONG,
    TEXT,
    Recorder,
    close_frame,
    doing,
    echo,
    frame,
    open_websocket,
    request,
    shake_hands,
)
from tests.server.wire import wait_until

ACCEPTED = {"type": "websocket.accept"}


def closing(code: int | None, reason: bytes) -> tuple[int, bytes]:
    return 0x80 | CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason


@pytest.mark.parametrize(
    ("code", "reason", "told"),
    [
        (1000, b"", 1000),
        (1001, b"gone", 1001),
        (1014, b"", 1014),
        (3000, "h\u00e4".encode(), 3000),
        (4999, b"x" * 123, 4999),
        (None, b"", 1005),  # section 7.1.5
    ],
)
def test_6455_5_5_1_the_client_closes(serve: Any, code: Any, reason: bytes, told: int) -> None:
    recorder = Recorder()
    websocket = open_websocket(serve(recorder))
    websocket.send(close_frame(code, reason), frame(TEXT, b"what follows is not read"))
    assert websocket.frame() == closing(code, b"")
    assert websocket.client.closed()  # section 7.1.1: the server closes the connection first
    wait_until(lambda: recorder.messages)
    assert recorder.messages == [{"type": "websocket.disconnect", "code": told, "reason": reason.decode()}]


def test_6455_5_4_a_close_between_fragments(serve: Any) -> None:
    websocket = open_websocket(serve(Recorder()))
    websocket.send(frame(TEXT, b"half", fin=False), close_frame(1000))
    assert websocket.frame() == closing(1000, b"")


def test_messages_before_the_close_are_received_first(serve: Any) -> None:
    recorder = Recorder()
    open_websocket(serve(recorder)).send(frame(TEXT, b"a"), frame(TEXT, b"b"), close_frame(1000))
    wait_until(lambda: len(recorder.messages) == 3)
    assert [message.get("text") for message in recorder.messages] == ["a", "b", None]


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [
        ({}, 1000, b""),
        ({"code": 1001, "reason": "gone"}, 1001, b"gone"),
        ({"code": 4000, "reason": None}, 4000, b""),
        ({"code": 1005}, None, b""),
    ],
)
def test_asgi_the_application_closes(serve: Any, message: Any, code: Any, reason: bytes) -> None:
    websocket = open_websocket(serve(doing(ACCEPTED, {"type": "websocket.close", **message})))
    assert websocket.frame() == closing(code, reason)
    assert websocket.send(frame(TEXT, b"ignored"), close_frame(code)).client.closed()


@pytest.mark.parametrize("message", [{"code": 1006}, {"code": 999}, {"code": "1000"}, {"reason": "x" * 124}])
def test_asgi_a_close_that_cannot_be_sent_closes_with_1011(serve: Any, message: Any, caplog: Any) -> None:
    websocket = open_websocket(serve(doing(ACCEPTED, {"type": "websocket.close", **message})))
    assert websocket.closed_with() == 1011
    assert "MessageError: websocket.close: " in caplog.text


def test_application_raises_closes_with_1011(serve: Any, caplog: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        await send(ACCEPTED)
        raise LookupError("of the application")

    assert open_websocket(serve(app), target=b"/here").closed_with() == 1011
    assert "WebSocket /here: the application raised" in caplog.text
    assert "LookupError: of the application" in caplog.text


def test_application_exits_and_the_server_lives(serve: Any, caplog: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        await send(ACCEPTED)
        raise SystemExit(3)

    server = serve(app)
    assert open_websocket(server).closed_with() == 1011
    assert open_websocket(server).closed_with() == 1011


def test_application_returns_closes_with_1000(serve: Any) -> None:
    assert open_websocket(serve(doing(ACCEPTED))).closed_with() == 1000


@pytest.mark.parametrize("again", [ACCEPTED, {"type": "websocket.http.response.start", "status": 200}])
def test_asgi_a_second_answer_closes_with_1011(serve: Any, again: Any, caplog: Any) -> None:
    assert open_websocket(serve(doing(ACCEPTED, again))).closed_with() == 1011
    assert "MessageError: " in caplog.text


def test_asgi_send_after_the_clients_close_raises_oserror(serve: Any) -> None:
    seen: list[Any] = []
    done = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        await receive()
        await send(ACCEPTED)
        seen.append(await receive())
        for message in ({"type": "websocket.close"}, {"type": "websocket.send", "text": "late"}):
            try:
                await send(message)
            except OSError as error:
                seen.append(error)
        seen.append(await receive())
        done.set()

    open_websocket(serve(app)).send(close_frame(1000))
    assert done.wait(10)
    assert [type(entry).__name__ for entry in seen] == ["dict", "ClientGone", "dict"]
    assert seen[0] == seen[2] == {"type": "websocket.disconnect", "code": 1000, "reason": ""}


def test_asgi_send_after_its_own_close_raises_oserror(serve: Any, caplog: Any) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        await receive()
        await send(ACCEPTED)
        await send({"type": "websocket.close", "code": 4001})
        seen.append(await receive())
        with pytest.raises(OSError, match="after the WebSocket was closed"):
            await send({"type": "websocket.send", "text": "late"})
        seen.append("raised")

    assert open_websocket(serve(app)).closed_with() == 4001
    wait_until(lambda: len(seen) == 2)
    assert seen == [{"type": "websocket.disconnect", "code": 4001, "reason": ""}, "raised"]


def test_an_application_that_sends_to_a_client_that_left_is_no_error(serve: Any, caplog: Any) -> None:
    over = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        await send(ACCEPTED)
        try:
            while True:
                await send({"type": "websocket.send", "text": "tick"})
                await asyncio.sleep(0.002)
        finally:
            over.set()

    server = serve(app)
    websocket = open_websocket(server)
    websocket.text()
    websocket.client.close()
    assert over.wait(10)
    server.stop()
    assert "raised" not in caplog.text


def test_6455_7_1_5_a_lost_connection_is_1006(serve: Any) -> None:
    recorder = Recorder()
    open_websocket(serve(recorder)).client.close()
    wait_until(lambda: recorder.messages)
    assert recorder.messages == [{"type": "websocket.disconnect", "code": 1006}]


def test_receive_of_two_tasks_and_a_cancelled_one(serve: Any) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        await receive()
        await send(ACCEPTED)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(receive(), 0.01)
        await send({"type": "websocket.send", "text": "go"})
        seen.extend(await asyncio.gather(receive(), receive()))

    websocket = open_websocket(serve(app))
    assert websocket.text() == "go"
    websocket.send(frame(TEXT, b"a"), frame(TEXT, b"b"))
    assert websocket.closed_with() == 1000
    assert sorted(message["text"] for message in seen) == ["a", "b"]


# -- pings


def test_6455_5_5_2_pings_are_answered(serve: Any) -> None:
    websocket = open_websocket(serve(echo))
    for payload in (b"", b"x" * 125):
        assert websocket.send(frame(PING, payload)).frame() == (0x80 | PONG, payload)


def test_6455_5_5_3_an_unasked_pong_is_ignored(serve: Any) -> None:
    websocket = open_websocket(serve(echo))
    assert websocket.send(frame(PONG, b"x"), frame(TEXT, b"hi")).text() == "hi"


def test_option_ws_ping_interval(serve: Any) -> None:
    websocket = open_websocket(serve(echo, ws_ping_interval=0.04, ws_ping_timeout=5.0))
    for _ in range(3):
        assert websocket.frame() == (0x80 | PING, b"")
        websocket.send(frame(PONG))


def test_option_ws_ping_timeout(serve: Any) -> None:
    recorder = Recorder()
    websocket = open_websocket(serve(recorder, ws_ping_interval=0.04, ws_ping_timeout=0.1))
    assert websocket.frame() == (0x80 | PING, b"")
    assert websocket.frame() == closing(1011, b"keepalive ping timeout")
    assert websocket.client.closed()
    wait_until(lambda: recorder.messages)
    assert recorder.messages[0]["code"] == 1011


# -- the server's stop


def test_stop_closes_with_1012_and_waits_for_the_application(serve: Any) -> None:
    recorder = Recorder()
    server = serve(recorder)
    websocket = open_websocket(server)
    wait_until(lambda: recorder.session is not None)
    server.server.should_exit = True
    assert websocket.closed_with() == 1012
    server.thread.join(10)
    assert not server.thread.is_alive()
    assert recorder.messages == [{"type": "websocket.disconnect", "code": 1012}]


def test_stop_cancels_after_the_grace(serve: Any, caplog: Any) -> None:
    cancelled = threading.Event()
    witness = Witness()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        await send(ACCEPTED)
        witness.at_work.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    server = serve(app, timeout_graceful_shutdown=0.05)
    websocket = open_websocket(server)
    assert witness.at_work.wait(10)
    server.server.should_exit = True
    assert websocket.closed_with() == 1012
    assert cancelled.wait(10)
    server.stop()
    assert "1 requests did not end within 0.05 seconds: cancelled" in caplog.text
    assert "raised" not in caplog.text


def test_stop_answers_an_open_handshake_with_503(serve: Any) -> None:
    witness = Witness()
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        await receive()
        witness.at_work.set()
        seen.append(await receive())

    server = serve(app)
    client = server.connect().send(request())
    assert witness.at_work.wait(10)
    server.server.should_exit = True
    assert client.response().status == 503
    assert client.closed()
    server.stop()
    assert seen[0]["type"] == "websocket.disconnect"


def test_a_client_that_does_not_answer_the_close_is_cut(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loophound.server.websocket.connection.CLOSE_TIMEOUT_S", 0.05)
    server = serve(doing(ACCEPTED), timeout_keep_alive=0.1)
    websocket = open_websocket(server)
    assert websocket.frame() == closing(1000, b"")
    assert websocket.client.closed()


def test_a_client_that_waits_for_the_end_after_a_violation_is_closed(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 6455, section 7.1.1: the server closes the connection first."""
    monkeypatch.setattr("loophound.server.websocket.connection.SILENCE_S", 0.05)
    running = serve(Recorder(), ws_max_size=10, timeout_keep_alive=0.1)
    websocket = open_websocket(running)
    websocket.send(frame(TEXT, b"longer than that"))
    assert websocket.frame()[1][:2] == (1009).to_bytes(2, "big")
    websocket.send(close_frame(1009))  # and its own end stays open
    wait_until(lambda: not running.server._site_served.connections)  # type: ignore[union-attr]


# -- TLS


def test_over_tls(serve: Any, tmp_path: Path) -> None:
    files = Files(tmp_path)
    recorder = Recorder()
    websocket = shake_hands(connect(serve(recorder, **files.options), files.client()))
    websocket.send(frame(TEXT, b"x" * 100_000), close_frame(1000))
    assert websocket.frame() == closing(1000, b"")
    assert websocket.client.closed()
    wait_until(lambda: len(recorder.messages) == 2)
    assert recorder.session.scope["scheme"] == "wss"
    assert recorder.session.scope["extensions"].keys() == {"tls", "websocket.http.response"}


def test_a_violation_over_tls(serve: Any, tmp_path: Path) -> None:
    files = Files(tmp_path)
    websocket = shake_hands(connect(serve(echo, **files.options), files.client()))
    assert websocket.send(frame(TEXT, b"\xff")).closed_with() == 1007


# -- the observer's view


class Hooks:
    def __init__(self) -> None:
        self.exchanges: Any = None

    def loop_starting(self, loop: Any) -> None: ...

    def loop_started(self, loop: Any, served: Any) -> None:
        self.exchanges = served.exchanges

    def loop_stopping(self, loop: Any) -> None: ...


def test_a_session_is_an_exchange(serve: Any) -> None:
    from loophound.server.hooks import current_scope

    hooks, recorder = Hooks(), Recorder()
    scopes: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(current_scope.get(None))
        await recorder(scope, receive, send)

    server = serve(app, hooks=hooks)
    websocket = open_websocket(server, target=b"/chat")
    wait_until(lambda: recorder.session is not None)
    [exchange] = hooks.exchanges()
    assert exchange is recorder.session
    assert exchange.scope["type"] == "websocket"
    assert exchange.scope["path"] == "/chat"
    assert exchange.task is not None
    assert exchange.coroutine_id == id(exchange.task.get_coro())
    assert exchange.began_ns > 0
    assert exchange.ended_ns == 0
    websocket.send(close_frame(1000))
    wait_until(lambda: exchange.ended_ns)
    assert exchange.ended_ns >= exchange.began_ns
    assert exchange in list(hooks.exchanges())  # a stall is explained after it
    assert scopes[-1] is exchange.scope

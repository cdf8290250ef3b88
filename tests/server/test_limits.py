"""The number of requests at once, and in all."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

from loophound.server.limits import at_most_at_once
from tests.server import apps
from tests.server.wire import PATIENCE_S, Running, wait_until


class Waiting(apps.Witness):
    """Answers /wait only when it may."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        if scope["path"] == "/wait":
            await self.until_go()
        await apps.respond(send, b"hello")


def test_requests_at_once(serve: Callable[..., Running], caplog: pytest.LogCaptureFixture) -> None:
    app = Waiting()
    running = serve(app, limit_concurrency=2)
    first = running.connect().get(b"/wait")
    second = running.connect()
    assert app.at_work.wait(PATIENCE_S)
    assert second.get().response().status == 200
    refused = running.connect().get().response()
    assert (refused.status, refused.header("retry-after"), refused.header("connection")) == (503, "1", "close")
    app.go.set()
    assert first.response().status == 200
    second.close()
    first.close()
    wait_until(lambda: running.get().status == 200)
    assert caplog.text.count("answered 503") == 1


def test_one_at_a_time_is_served(serve: Callable[..., Running]) -> None:
    client = serve(apps.hello, limit_concurrency=1).connect()
    assert [client.get().response().status for _ in range(3)] == [200] * 3


def test_a_request_that_fails_leaves_its_place(serve: Callable[..., Running]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError(scope["type"])

    running = serve(app, limit_concurrency=1, lifespan="off")
    for _ in range(3):
        wait_until(lambda: running.get().status == 500)


@pytest.mark.parametrize(
    ("extensions", "kinds"),
    [
        ({}, ["websocket.close"]),
        ({"websocket.http.response": {}}, ["websocket.http.response.start", "websocket.http.response.body"]),
    ],
)
def test_a_websocket_too_many(extensions: Any, kinds: list[str]) -> None:
    class Site:
        connections = frozenset({1, 2})

    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    app = at_most_at_once(Site, apps.hello, 1)  # type: ignore[arg-type]
    asyncio.run(app({"type": "websocket", "extensions": extensions}, receive, send))  # type: ignore[arg-type]
    assert sent == kinds


def test_requests_in_all(serve: Callable[..., Running], caplog: pytest.LogCaptureFixture) -> None:
    running = serve(apps.hello, limit_max_requests=3)
    client = running.connect()
    assert [client.get().response().status for _ in range(3)] == [200] * 3
    assert client.closed()
    running.thread.join(PATIENCE_S)
    assert not running.thread.is_alive()
    assert "Stopping after 3 requests" in caplog.text


def test_a_socket_of_the_parent(serve: Callable[..., Running]) -> None:
    with socket.socket() as parent:
        parent.bind(("127.0.0.1", 0))
        running = serve(apps.hello, fd=parent.fileno())
        assert running.port == parent.getsockname()[1]
        assert running.get().body == b"hello"

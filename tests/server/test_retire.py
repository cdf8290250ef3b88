"""A server with a successor gives its connections away: whole, and only when nothing of them is left behind."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

import pytest

from tests.server import apps
from tests.server.wire import PATIENCE_S, Client, Running, wait_until

Serve = Callable[..., Running]


class Successor:
    """Takes what is given, unless it has no room."""

    def __init__(self) -> None:
        self.taken: list[Client] = []
        self.room = True

    def give(self, descriptor: int) -> bool:
        if self.room:
            self.taken.append(Client(socket.socket(fileno=os.dup(descriptor))))
        return self.room


@pytest.fixture
def successor() -> Any:
    made = Successor()
    yield made
    for client in made.taken:
        client.close()


def retire(running: Running, successor: Successor) -> None:
    running.server._loop.call_soon_threadsafe(running.server.retire, successor.give)


def ended(running: Running) -> bool:
    running.thread.join(PATIENCE_S)
    return not running.thread.is_alive()


def test_idle_connections_live_on_elsewhere(serve: Serve, successor: Successor) -> None:
    running = serve(apps.hello)
    used, fresh = running.connect(), running.connect()
    assert used.get().response().status == 200
    retire(running, successor)
    assert ended(running)
    assert len(successor.taken) == 2
    for taken in successor.taken:  # the client's words come to the successor, its words to the client
        taken.send(b"from the successor")
    assert {bytes(client.read_until(b"successor")) for client in (used, fresh)} == {b"from the successor"}


def test_a_busy_connection_moves_when_its_response_is_out(serve: Serve, successor: Successor) -> None:
    witness = apps.Witness()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await witness.until_go()
        await apps.respond(send)

    running = serve(app, timeout_graceful_shutdown=PATIENCE_S)
    client = running.connect().get()
    assert witness.at_work.wait(PATIENCE_S)
    retire(running, successor)
    assert successor.taken == []
    witness.go.set()
    response = client.response()
    assert (response.status, response.header("connection")) == (200, None)
    assert ended(running)
    assert len(successor.taken) == 1


@pytest.mark.parametrize("piece", [b"G", b"GET / HTTP/1.1\r\nHost:"])
def test_half_a_request_stays(serve: Serve, successor: Successor, piece: bytes) -> None:
    running = serve(apps.hello, timeout_graceful_shutdown=PATIENCE_S)
    client = running.connect().send(piece)
    whole = running.connect()
    assert whole.get().response().status == 200  # and by now the piece has come, too
    retire(running, successor)
    wait_until(lambda: len(successor.taken) == 1)
    client.send((b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")[len(piece) :] if piece == b"G" else b" a\r\n\r\n")
    assert client.response().status == 200
    assert ended(running)
    assert len(successor.taken) == 2  # whole again, it has moved


def test_without_room_it_is_tried_again(serve: Serve, successor: Successor) -> None:
    running = serve(apps.hello, timeout_graceful_shutdown=PATIENCE_S)
    client = running.connect()
    assert client.get().response().status == 200
    successor.room = False
    retire(running, successor)
    assert client.get(b"/again").response().status == 200  # it is served meanwhile
    successor.room = True
    assert ended(running)
    assert len(successor.taken) == 1


def test_a_stop_ends_the_giving(serve: Serve, successor: Successor) -> None:
    running = serve(apps.hello, timeout_graceful_shutdown=PATIENCE_S)
    client = running.connect()
    assert client.get().response().status == 200
    successor.room = False
    retire(running, successor)
    running.server.should_exit = True
    assert client.closed()
    assert ended(running)

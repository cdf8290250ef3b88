"""What an idle connection keeps, and what all connections share."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from loophound.server.bounds import Timeouts
from loophound.server.protocol import FORGOTTEN_S, HttpConnection
from loophound.server.site import Site
from loophound.server.sockets import own_address
from loophound.server.sweep import Sweep
from tests.server import apps
from tests.server.fakes import FakeLoop, FakeTransport, connected

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


async def after_a_request(app: Any = apps.hello) -> tuple[HttpConnection, FakeTransport]:
    connection, transport = HttpConnection(Site(app, asyncio.get_running_loop())), FakeTransport()
    connection.connection_made(transport)  # type: ignore[arg-type]
    connection.data_received(REQUEST)
    await asyncio.sleep(0.01)
    assert transport.written.endswith(b"hello")
    return connection, transport


def swept(connection: HttpConnection, idle_s: float) -> None:
    connection.sweep(connection.since_s + idle_s, Timeouts(60, 60, 60))


def test_an_idle_connection_lets_go_of_its_last_request_and_serves_the_next() -> None:
    async def play() -> None:
        connection, transport = await after_a_request()
        swept(connection, FORGOTTEN_S / 2)
        assert connection.cycle is not None
        swept(connection, FORGOTTEN_S)
        assert connection.cycle is None
        transport.written = b""
        connection.data_received(REQUEST)
        await asyncio.sleep(0.01)
        assert transport.written.endswith(b"hello")

    asyncio.run(play())


def test_not_while_the_application_goes_on_after_its_response() -> None:
    async def play() -> None:
        more = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await apps.hello(scope, receive, send)
            await more.wait()

        connection, _ = await after_a_request(app)
        swept(connection, FORGOTTEN_S)
        assert connection.cycle is not None
        more.set()
        await asyncio.sleep(0.01)
        swept(connection, FORGOTTEN_S)
        assert connection.cycle is None

    asyncio.run(play())


def test_requests_that_wait_are_each_connections_own() -> None:
    loop = FakeLoop()
    site, first, _ = connected(loop)
    _, second, _ = connected(loop)
    Sweep(site, Timeouts(60, 60, 60), loop.time)
    first.data_received(REQUEST * 3)
    assert (len(first.waiting), len(second.waiting)) == (2, 0)
    first.connection_lost(None)
    assert (len(first.waiting), len(second.waiting)) == (0, 0)


def test_a_client_that_does_not_read_holds_up_its_own_connection_only() -> None:
    _, first, _ = connected(FakeLoop())
    second = HttpConnection(first.site)
    first.pause_writing()
    assert first.flow.paused
    assert not second.flow.paused
    first.resume_writing()
    assert not first.flow.paused


@pytest.mark.parametrize(
    ("family", "address", "known"),
    [
        (socket.AF_INET, "127.0.0.1", True),
        (socket.AF_INET, "0.0.0.0", False),
        (socket.AF_INET6, "::1", True),
        (socket.AF_INET6, "::", False),
    ],
)
def test_a_listener_on_one_address_knows_that_of_its_connections(family: int, address: str, known: bool) -> None:
    with socket.socket(family) as sock:
        try:
            sock.bind((address, 0))
        except OSError:
            pytest.skip("no IPv6 here")
        assert own_address(sock) == ((address, sock.getsockname()[1]) if known else None)


def test_a_unix_socket_has_none() -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        assert own_address(sock) is None

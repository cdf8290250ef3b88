"""Slow clients in number (slow loris), of each kind, beside an honest one: a small form of benchmarks/crowd.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from loophound.server import sweep
from loophound.server.bounds import Timeouts
from loophound.server.sweep import Sweep
from tests.server import apps
from tests.server.fakes import FakeLoop, connected
from tests.server.wire import HOST, Client, Running

EACH = 40
HALF_A_HEAD = b"GET / HTTP/1.1\r\n" + HOST + b"X-A: "
HALF_A_BODY = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1000\r\n\r\n0123456789"


def test_all_are_closed_and_an_honest_client_is_served(serve: Callable[..., Running]) -> None:
    running = serve(apps.echo, timeout_keep_alive=0.4, timeout_head=0.4, timeout_body=0.4, log_level="error")
    heads = [running.connect().send(HALF_A_HEAD) for _ in range(EACH)]
    silent = [running.connect() for _ in range(EACH)]
    bodies = [running.connect().send(HALF_A_BODY) for _ in range(EACH)]
    idle = [running.connect().get() for _ in range(EACH)]
    for client in idle:
        assert client.response().status == 200
    for client in [*heads, *bodies]:
        assert running.get().status == 200
        assert client.response().status == 408
        assert client.closed()
    for client in [*silent, *idle]:
        assert client.closed()
    assert running.get().status == 200


def test_drops_now_and_then_buy_no_time(serve: Callable[..., Running]) -> None:
    client: Client = serve(apps.echo, timeout_head=0.3).connect().send(HALF_A_HEAD)
    client.sock.settimeout(0.05)
    for _ in range(200):
        try:
            client.send(b"x")
            client.read_until(b"\r\n\r\n")
            return
        except TimeoutError:
            continue
    pytest.fail("the head may go on for ever")


def test_a_thousand_at_once_do_not_hold_up_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A visit goes on in the next turn of the loop once it has taken its time."""
    monkeypatch.setattr(sweep, "MOST_AT_ONCE_S", 0.0)

    async def scenario() -> list[int]:
        site, connection, _ = connected(FakeLoop())
        site.loop = asyncio.get_running_loop()
        others = [connected(FakeLoop()) for _ in range(200)]
        site.connections.update(other for _, other, _ in others)
        visits = Sweep(site, Timeouts(5, 5, 5))
        connection.since_s = site.now_s - 100
        for _, other, _ in others:
            other.since_s = site.now_s - 100
        visits.sweep()
        closed = []
        for _ in range(10):
            closed.append(sum(transport.closed == "closed" for _, _, transport in others))
            await asyncio.sleep(0)
        return closed

    closed = asyncio.run(scenario())
    assert closed[0] <= sweep.BATCH
    assert closed == sorted(closed)
    assert closed[-1] == 200

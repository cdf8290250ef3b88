"""Time-outs on a fake clock: never early, and late by one interval at most."""

from __future__ import annotations

import pytest

from loophound.server.sweep import Sweep
from tests.server.fakes import FakeLoop, connected

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize("phase_s", [0.0, 0.3, 0.99])
@pytest.mark.parametrize("keep_alive_s", [0.2, 1.0, 5.0])
def test_idle_connection_is_closed_in_silence(keep_alive_s: float, phase_s: float) -> None:
    loop = FakeLoop()
    site, _, _ = connected(loop)
    sweep = Sweep(site, keep_alive_s=keep_alive_s, head_s=10, clock=loop.time)
    sweep.start()
    loop.advance(20 + phase_s)  # the connection comes at any phase of the sweep
    _, connection, transport = connected(loop)
    connection.site = site
    connection.since_s = site.now_s
    site.connections.add(connection)
    loop.advance(keep_alive_s - 0.001)
    assert transport.closed == ""
    loop.advance(2 * sweep.interval_s + 0.002)
    assert transport.closed == "closed"
    assert transport.written == b""


@pytest.mark.parametrize("data", [b"GET /", b"GET / HTTP/1.1\r\nHost: a\r\nX"])
def test_slow_head_gets_a_408(data: bytes) -> None:
    """RFC 9110, section 15.5.9."""
    loop = FakeLoop()
    site, connection, transport = connected(loop)
    Sweep(site, keep_alive_s=2, head_s=10, clock=loop.time).start()
    connection.data_received(data)
    loop.advance(4)
    connection.data_received(b"x")  # another byte now and then buys no time
    loop.advance(5.9)
    assert transport.written == b""
    loop.advance(2.2)
    assert transport.written.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert transport.closed == "half"
    loop.advance(8)
    assert transport.closed == "aborted"


def test_a_request_at_work_is_let_be() -> None:
    loop = FakeLoop()
    site, connection, transport = connected(loop)
    Sweep(site, keep_alive_s=2, head_s=2, clock=loop.time).start()
    connection.data_received(REQUEST + b"GET")
    loop.advance(100)
    assert transport.closed == ""


def test_stopped_sweep_leaves_no_timer() -> None:
    loop = FakeLoop()
    site, _, _ = connected(loop)
    sweep = Sweep(site, keep_alive_s=2, head_s=2, clock=loop.time)
    sweep.start()
    loop.advance(3.5)
    sweep.stop()
    assert all(timer.cancelled for timer in loop.timers)


def test_sweep_renews_the_date() -> None:
    loop = FakeLoop()
    site, _, _ = connected(loop)
    Sweep(site, keep_alive_s=2, head_s=2, clock=lambda: 784111777.0).start()
    loop.advance(1)
    [prefix], _, _ = site.heads.encode(200, [])
    assert b"date: Sun, 06 Nov 1994 08:49:37 GMT\r\n" in prefix  # RFC 9110, section 5.6.7


def test_time_in_which_the_loop_was_blocked_is_not_held_against_a_client() -> None:
    loop = FakeLoop()
    site, _, transport = connected(loop)
    sweep = Sweep(site, keep_alive_s=5, head_s=10, clock=loop.time)
    loop.now_s += 60  # blocked all the while: its next request waits in the socket
    sweep.sweep()
    assert transport.closed == ""
    sweep.start()
    loop.advance(7)
    assert transport.closed == "closed"

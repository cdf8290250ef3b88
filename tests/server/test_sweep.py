"""Time-outs on a fake clock: never early, and late by one interval at most."""

from __future__ import annotations

import pytest

from loophound.server.bounds import Timeouts
from loophound.server.cycle import CUT
from loophound.server.sweep import Sweep
from tests.server.fakes import FakeLoop, connected

BODY_S = 30.0
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("phase_s", [0.0, 0.3, 0.99])
@pytest.mark.parametrize("keep_alive_s", [0.2, 1.0, 5.0])
def test_idle_connection_is_closed_in_silence(keep_alive_s: float, phase_s: float) -> None:
    loop = FakeLoop()
    site, _, _ = connected(loop)
    sweep = Sweep(site, Timeouts(keep_alive_s, 10, BODY_S), loop.time)
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
    Sweep(site, Timeouts(2, 10, BODY_S), loop.time).start()
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


def test_slow_body_gets_a_408() -> None:
    """RFC 9110, section 15.5.9; the application hears that the client is gone."""
    loop = FakeLoop()
    site, connection, transport = connected(loop)
    Sweep(site, Timeouts(2, 2, 10), clock=loop.time).start()
    connection.data_received(POST + b"ab")
    for _ in range(3):
        loop.advance(9)
        assert transport.written == b""
        connection.data_received(b"x")  # which comes on
    loop.advance(9)
    assert transport.written == b""
    loop.advance(5)
    assert transport.written.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert connection.cycle is not None
    assert connection.cycle.upload is CUT


def test_chunk_extensions_are_no_sign_of_a_body() -> None:
    loop = FakeLoop()
    site, connection, transport = connected(loop)
    Sweep(site, Timeouts(2, 2, 10), clock=loop.time).start()
    connection.data_received(CHUNKED + b"1;a=")
    for _ in range(13):
        loop.advance(1)
        connection.data_received(b"x")
    assert transport.written.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("expects", [False, True])
def test_a_body_that_the_application_holds_back_is_not_late(expects: bool) -> None:
    """Reading pauses, or the client waits for its 100: the next piece is not its turn."""
    loop = FakeLoop()
    site, connection, transport = connected(loop)
    Sweep(site, Timeouts(2, 2, 10), clock=loop.time).start()
    if expects:
        connection.data_received(POST.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
    else:
        connection.data_received(POST + b"x" * 100_000)
    loop.advance(100)
    assert transport.written == b""
    assert transport.closed == ""


def test_a_request_at_work_is_let_be() -> None:
    loop = FakeLoop()
    site, connection, transport = connected(loop)
    Sweep(site, Timeouts(2, 2, BODY_S), loop.time).start()
    connection.data_received(REQUEST + b"GET")
    loop.advance(100)
    assert transport.closed == ""


def test_stopped_sweep_leaves_no_timer() -> None:
    loop = FakeLoop()
    site, _, _ = connected(loop)
    sweep = Sweep(site, Timeouts(2, 2, BODY_S), loop.time)
    sweep.start()
    loop.advance(3.5)
    sweep.stop()
    assert all(timer.cancelled for timer in loop.timers)


def test_sweep_renews_the_date() -> None:
    loop = FakeLoop()
    site, _, _ = connected(loop)
    Sweep(site, Timeouts(2, 2, BODY_S), lambda: 784111777.0).start()
    loop.advance(1)
    [prefix], _, _ = site.heads.encode(200, [])
    assert b"date: Sun, 06 Nov 1994 08:49:37 GMT\r\n" in prefix  # RFC 9110, section 5.6.7


def test_time_in_which_the_loop_was_blocked_is_not_held_against_a_client() -> None:
    loop = FakeLoop()
    site, _, transport = connected(loop)
    sweep = Sweep(site, Timeouts(5, 10, BODY_S), loop.time)
    loop.now_s += 60  # blocked all the while: its next request waits in the socket
    sweep.sweep()
    assert transport.closed == ""
    sweep.start()
    loop.advance(7)
    assert transport.closed == "closed"

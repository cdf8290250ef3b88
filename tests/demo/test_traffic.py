from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from loophound.demo.client import Client, parse_head
from loophound.demo.plan import HEALTHY, PLANTED, Endpoint
from loophound.demo.sizes import TARGET_S
from loophound.demo.traffic import SHORTEST_PAUSE_S, drive, order_of_calls, pause_s
from loophound.errors import LoophoundError

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Answering:
    """A server that notes the request lines and gives one answer to all of them."""

    def __init__(self, answer: bytes = OK) -> None:
        self.answer = answer
        self.heads: list[bytes] = []

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                self.heads.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(self.answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone
        finally:
            writer.close()

    async def start(self) -> tuple[asyncio.Server, int]:
        server = await asyncio.start_server(self.handle, "127.0.0.1", 0)
        return server, server.sockets[0].getsockname()[1]


def test_each_blocker_is_called_twice_in_another_order() -> None:
    calls = order_of_calls(PLANTED, shuffle=list.reverse)
    assert Counter(entry.name for entry in calls) == {entry.name: 2 for entry in PLANTED}
    assert calls[: len(PLANTED)] == list(reversed(PLANTED))


def test_the_pauses_fill_the_time_that_was_asked_for() -> None:
    assert pause_s(20, 20) == pytest.approx(1 - TARGET_S)


def test_blockers_never_follow_one_another_without_a_pause() -> None:
    assert pause_s(1, 20) == SHORTEST_PAUSE_S


def test_the_head_of_an_answer() -> None:
    assert parse_head(b"HTTP/1.1 404 Not Found\r\ncontent-length: 17\r\nserver: x\r\n\r\n") == (404, 17)


def test_an_answer_of_unknown_length_is_refused() -> None:
    with pytest.raises(ValueError, match="without Content-Length"):
        parse_head(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")


def test_a_connection_serves_several_requests() -> None:
    async def main() -> list[bytes]:
        answering = Answering()
        server, port = await answering.start()
        async with server, Client("127.0.0.1", port) as client:
            assert await client.request(Endpoint("GET", "/a")) == b"ok"
            assert await client.request(Endpoint("POST", "/b")) == b"ok"
        return answering.heads

    first, second = asyncio.run(main())
    assert first.startswith(b"GET /a HTTP/1.1\r\nHost: 127.0.0.1:")
    assert second.startswith(b"POST /b HTTP/1.1\r\n")


def test_the_traffic_calls_all_of_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loophound.demo.traffic.SHORTEST_PAUSE_S", 0.001)

    async def main() -> tuple[int, list[bytes]]:
        answering = Answering()
        server, port = await answering.start()
        async with server:
            load = await drive("127.0.0.1", port, PLANTED, HEALTHY, seconds=0)
        return load.requests, answering.heads

    requests, heads = asyncio.run(main())
    lines = Counter(head.split(b" HTTP")[0].decode() for head in heads)
    assert all(lines[str(entry.endpoint)] == 2 for entry in PLANTED)
    assert all(lines[str(endpoint)] >= 1 for endpoint in HEALTHY)
    assert requests >= len(HEALTHY)


def test_an_endpoint_that_fails_ends_the_traffic() -> None:
    async def main() -> None:
        server, port = await Answering(b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\nbang").start()
        async with server:
            await drive("127.0.0.1", port, PLANTED, HEALTHY, seconds=0)

    with pytest.raises(LoophoundError, match="answered 500: bang"):
        asyncio.run(main())


def test_a_server_that_goes_away_ends_the_traffic() -> None:
    async def main() -> None:
        server, port = await Answering().start()
        server.close()
        await server.wait_closed()
        await drive("127.0.0.1", port, PLANTED, HEALTHY, seconds=0)

    with pytest.raises(OSError, match=r"[Cc]onnect"):
        asyncio.run(main())

"""The feed as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from loophound.dashboards.web import WebDashboard, events
from tests.dashboards.feed.fake import FakeFeed, Message, blocked, hello, stalled, worker
from tests.dashboards.web.exchange import Exchange


def following(path: Path, play: Callable[[Exchange], Awaitable[None]]) -> Exchange:
    """A reader of the events while `play` runs."""

    async def run() -> Exchange:
        exchange = Exchange(WebDashboard(path), "/events")
        reading = asyncio.ensure_future(exchange.run())
        try:
            await asyncio.wait_for(play(exchange), 30)
        finally:
            exchange.gone.set()
            await asyncio.wait_for(reading, 10)
        return exchange

    return asyncio.run(run())


def told(exchange: Exchange) -> list[Message]:
    blocks = exchange.body.decode().split("\n\n")
    assert blocks[-1] == ""
    return [json.loads(block.removeprefix("data: ")) for block in blocks if block.startswith("data: ")]


def test_each_line_of_the_feed_is_an_event(tmp_path: Path) -> None:
    with FakeFeed(tmp_path / "feed.sock", [hello(), worker()]) as feed:

        async def play(exchange: Exchange) -> None:
            await exchange.until('"hello"', '"worker"')
            feed.send(blocked())
            await exchange.until('"blocked"')

        exchange = following(tmp_path / "feed.sock", play)
    assert exchange.status == 200
    assert exchange.headers["content-type"] == "text/event-stream"
    assert exchange.body.startswith(b"retry: ")
    assert [message["type"] for message in told(exchange)][:3] == ["hello", "worker", "state"]


def test_a_stall_comes_with_the_lines_around_its_culprit(tmp_path: Path) -> None:
    source = tmp_path / "main.py"
    source.write_text("".join(f"line {n}\n" for n in range(1, 21)))
    at = {"file": str(source), "line": 10, "function": "show", "code": "line 10"}
    message: dict[str, Any] = stalled()
    message["stall"]["culprit"] = at
    with FakeFeed(tmp_path / "feed.sock", [hello(), message]):

        async def play(exchange: Exchange) -> None:
            await exchange.until('"source"')

        exchange = following(tmp_path / "feed.sock", play)
    [stall] = [message for message in told(exchange) if message["type"] == "stall"]
    assert stall["source"]["line"] == 10
    assert stall["source"]["lines"] == [[n, f"line {n}"] for n in range(6, 15)]


def test_a_stall_without_a_culprit_or_a_file_comes_as_it_is(tmp_path: Path) -> None:
    innocent: dict[str, Any] = stalled()
    innocent["stall"] |= {"culprit": None, "blocking": None}
    lost: dict[str, Any] = stalled()
    lost["stall"]["culprit"]["file"] = str(tmp_path / "gone.py")
    with FakeFeed(tmp_path / "feed.sock", [hello(), innocent, lost]):

        async def play(exchange: Exchange) -> None:
            await exchange.until("gone.py")

        exchange = following(tmp_path / "feed.sock", play)
    first, second = (message for message in told(exchange) if message["type"] == "stall")
    assert "source" not in first
    assert second["source"]["lines"] == []


def test_a_server_that_goes_and_comes_back(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(events, "RETRY_S", 0.05)
    path = tmp_path / "feed.sock"

    async def play(exchange: Exchange) -> None:
        await exchange.until("feed-gone")  # it was not there yet
        with FakeFeed(path, [hello(app="one:app")]):
            await exchange.until("one:app")
        with FakeFeed(path, [hello(app="two:app")]):
            await exchange.until("two:app", "its feed has ended")

    types = [message["type"] for message in told(following(path, play))]
    assert types[0] == "feed-gone"
    assert types.count("hello") == 2


def test_many_readers_are_enough(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(events, "MOST_READERS", 1)

    async def run() -> None:
        app = WebDashboard(tmp_path / "feed.sock")
        first = Exchange(app, "/events")
        reading = asyncio.ensure_future(first.run())
        await first.until("retry")
        second = await Exchange(app, "/events").run()
        assert second.status == 503
        assert b"Too many readers" in second.body
        first.gone.set()
        await reading
        third = Exchange(app, "/events")
        reading = asyncio.ensure_future(third.run())
        await third.until("retry")
        third.gone.set()
        await reading

    asyncio.run(run())

"""The feed behind a web dashboard's address."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import loophound
from loophound.dashboards.top.address import AddressedFeed
from loophound.dashboards.web import WebDashboard
from loophound.errors import ConfigError, LoophoundError
from tests.dashboards.feed.fake import FakeFeed, hello, state, worker

TOKEN = "open-sesame"
WAIT_S = 30.0


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A web dashboard of the feed at `tmp_path/feed`."""
    with FakeFeed(tmp_path / "feed", [hello(), worker(), state()]), socket.create_server(("127.0.0.1", 0)) as listener:
        app = WebDashboard(tmp_path / "feed", token=TOKEN)
        server = loophound.Server(loophound.Config(app, lifespan="off", log_level="error", access_log=False))
        thread = threading.Thread(target=asyncio.run, args=(server.serve([listener]),))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join()


def read(feed: AddressedFeed, wanted: Callable[[list[Any]], bool]) -> list[Any]:
    found: list[Any] = []
    deadline_s = time.monotonic() + WAIT_S
    while not wanted(found):
        found += feed.read(0.2)
        assert time.monotonic() < deadline_s, found
    return found


def test_it_is_the_feed(url: str) -> None:
    feed = AddressedFeed(f"{url}?token={TOKEN}")
    try:
        kinds = [message["type"] for message in read(feed, lambda found: len(found) >= 3)]
        assert kinds == ["hello", "worker", "state"]
        assert feed.fileno() >= 0
    finally:
        feed.close()


def test_a_wrong_token(url: str) -> None:
    with pytest.raises(LoophoundError, match=r"403 .*The token is missing or wrong"):
        AddressedFeed(f"{url}?token=wrong")


def test_a_server_that_goes_and_comes(tmp_path: Path) -> None:
    """By hand: one that hangs up after its first message."""
    answer = b'HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: hi\n\ndata: {"type": "hello"}\n\ndata: [\n'
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for _ in range(2):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        feed = AddressedFeed(f"http://127.0.0.1:{listener.getsockname()[1]}/?token=x")
        found = read(feed, lambda found: sum(one["type"] == "hello" for one in found) == 2)
        feed.close()
    assert [one["type"] for one in found] == ["hello", "disconnected", "connected", "hello"]


@pytest.mark.parametrize("url", ["http://", "http://127.0.0.1:x/", "http:///x"])
def test_no_address(url: str) -> None:
    with pytest.raises(ConfigError, match="is no address of a web dashboard"):
        AddressedFeed(url)


def test_nobody_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(LoophoundError, match="connection refused"):
            AddressedFeed(f"http://127.0.0.1:{free.getsockname()[1]}/")

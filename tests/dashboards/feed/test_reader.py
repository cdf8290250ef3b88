from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from loophound.dashboards.feed import FeedReader, default_path, find, runtime_directory
from loophound.dashboards.feed.place import make_directory
from loophound.errors import ConfigError
from tests.dashboards.feed.fake import FakeFeed, hello, snapshot, state, worker

PATIENCE_S = 10.0


def kinds(messages: list[dict[str, Any]]) -> list[str]:
    return [message["type"] for message in messages]


def read_until(reader: FeedReader, kind: str) -> list[dict[str, Any]]:
    read: list[dict[str, Any]] = []
    while kind not in kinds(read):
        new = reader.read(PATIENCE_S)
        assert new, f"no {kind} came, only {kinds(read)}"
        read += new
    return read


def test_a_reader_gets_the_opening_and_what_is_sent_afterwards(tmp_path: Path) -> None:
    with FakeFeed(tmp_path / "1.sock") as feed, FeedReader(feed.path) as reader:
        assert kinds(read_until(reader, "worker")) == ["hello", "worker"]
        assert reader.hello["app"] == "shop.main:app"
        feed.send(snapshot(), state())
        assert kinds(read_until(reader, "state")) == ["snapshot", "state"]


def test_nothing_comes_in_time(tmp_path: Path) -> None:
    with FakeFeed(tmp_path / "1.sock", []) as feed, FeedReader(feed.path) as reader:
        assert reader.read(0.01) == []


def test_lines_that_are_no_messages_are_passed_over(tmp_path: Path) -> None:
    opening: list[Any] = [["a list"], {"no": "type"}, {"type": 7}, worker()]
    with FakeFeed(tmp_path / "1.sock", opening) as feed, FeedReader(feed.path) as reader:
        assert kinds(reader.read(PATIENCE_S)) == ["worker"]


def test_a_message_may_come_in_pieces(tmp_path: Path) -> None:
    large = snapshot(padding="x" * 1_000_000)
    with FakeFeed(tmp_path / "1.sock", [large, state()]) as feed, FeedReader(feed.path) as reader:
        assert kinds(read_until(reader, "state")) == ["snapshot", "state"]


def test_without_reconnecting_the_end_is_the_end(tmp_path: Path) -> None:
    with FakeFeed(tmp_path / "1.sock") as feed, FeedReader(feed.path, reconnect=False) as reader:
        read_until(reader, "worker")
        feed.close()
        assert list(reader) == []
        assert not reader.connected


def test_it_connects_again_at_the_same_place(tmp_path: Path) -> None:
    path = tmp_path / "1.sock"
    with FakeFeed(path) as feed, FeedReader(path) as reader:
        read_until(reader, "worker")
        feed.close()
        assert kinds(read_until(reader, "disconnected")) == ["disconnected"]
        assert reader.fileno() == -1
        assert reader.read(0.01) == []
        with FakeFeed(path):
            assert kinds(read_until(reader, "hello"))[0] == "connected"


def test_it_finds_the_server_that_was_started_again(tmp_path: Path) -> None:
    with FakeFeed(tmp_path / "71.sock", [hello(server="71")]) as feed, FeedReader(feed.path) as reader:
        read_until(reader, "hello")
        feed.close()
        with (
            FakeFeed(tmp_path / "72.sock", [hello(server="72", app="another:app")]),
            FakeFeed(tmp_path / "73.sock", [hello(server="73")]),
        ):
            read_until(reader, "hello")
            assert reader.path == str(tmp_path / "73.sock")


def test_a_reader_needs_somebody_who_listens(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        FeedReader(tmp_path / "1.sock")


# The place


def test_the_runtime_directory(tmp_path: Path) -> None:
    assert runtime_directory({"XDG_RUNTIME_DIR": str(tmp_path)}) == tmp_path / "loophound"
    for unusable in ("", "relative", str(tmp_path / "nowhere")):
        assert runtime_directory({"XDG_RUNTIME_DIR": unusable}) == Path(f"/tmp/loophound-{os.getuid()}")
    assert default_path(71, {"XDG_RUNTIME_DIR": str(tmp_path)}) == tmp_path / "loophound" / "71.sock"


def test_the_runtime_directory_is_for_this_user_alone(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o777)
    for name in ("new", "open"):
        make_directory(tmp_path / name)
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o700


def test_a_directory_that_somebody_else_prepared_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(ConfigError, match="not a directory of this user's"):
        make_directory(tmp_path / "link")
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot make the directory"):
        make_directory(tmp_path / "file")


def test_running_servers_are_found_and_stale_sockets_removed(tmp_path: Path) -> None:
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    assert find(environ) == []
    directory = tmp_path / "loophound"
    directory.mkdir()
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(directory / "70.sock"))
    stale.close()
    (directory / "notes.txt").touch()
    later, sooner = hello(server="71", started_at="2026-11-22T05"), hello(server="72", started_at="2026-11-22T04")
    with FakeFeed(directory / "71.sock", [later]), FakeFeed(directory / "72.sock", [sooner]):
        found = find(environ)
    assert [(one.path, one.hello["server"]) for one in found] == [
        (str(directory / "72.sock"), "72"),
        (str(directory / "71.sock"), "71"),
    ]
    assert not (directory / "70.sock").exists()


def test_who_says_nothing_is_no_server(tmp_path: Path) -> None:
    (tmp_path / "loophound").mkdir()
    with FakeFeed(tmp_path / "loophound" / "71.sock", []) as silent:
        assert find({"XDG_RUNTIME_DIR": str(tmp_path)}, timeout_s=0.05) == []
        assert Path(silent.path).exists()

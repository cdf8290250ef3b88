"""What an observer shows is bound by who starts it: bad places are told at once."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from loophound.dashboards.feed import FeedReader
from loophound.detector.detector import Detector
from loophound.errors import ConfigError
from loophound.observer.hosting import FeedSocket, Hosting, MetricsSocket, read_address, read_token


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("9464", ("127.0.0.1", 9464)),
        ("0", ("127.0.0.1", 0)),
        ("0.0.0.0:9464", ("0.0.0.0", 9464)),
        ("[::1]:80", ("::1", 80)),
        ("localhost:1", ("localhost", 1)),
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert read_address(text) == address


@pytest.mark.parametrize("text", ["", ":9464", "host:", "65536", "-1", "x", "1.2.3.4:x", "٣"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"takes PORT or HOST:PORT, such as 9464"):
        read_address(text)


def test_a_port_that_is_taken() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(ConfigError, match=r"cannot listen on .*: Address already in use"),
    ):
        MetricsSocket(str(taken.getsockname()[1]))


def test_a_host_that_is_none() -> None:
    with pytest.raises(ConfigError, match=r"no address 'no.such.host.invalid'"):
        MetricsSocket("no.such.host.invalid:80")


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ConfigError, match=r"pip install 'loophound\[metrics\]'"):
        MetricsSocket("0")


def test_a_free_port_is_told() -> None:
    with Hosting(feed=False, metrics="0") as hosting:
        assert hosting.metrics is not None
        assert hosting.metrics.url.startswith("http://127.0.0.1:")
        assert list(hosting.descriptors()) == ["metrics"]


def test_when_the_feed_cannot_be_the_port_is_free_again(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (tmp_path / "feed").touch()
    with pytest.raises(ConfigError, match="is there and no socket"):
        Hosting(feed=tmp_path / "feed", metrics=str(port))
    MetricsSocket(str(port)).close()


# The page


def test_the_page_listens_on_loopback_and_keeps_its_token_to_itself(tmp_path: Path) -> None:
    with Hosting(feed=tmp_path / "feed", web=0) as hosting:
        assert hosting.web is not None
        assert hosting.web.url.startswith("http://127.0.0.1:")
        token = hosting.web.url.rsplit("=", 1)[1]
        assert len(token) >= 32
        assert read_token(hosting.descriptors()["web_token"]) == token
        assert token not in str(hosting.settings())
    with Hosting(feed=tmp_path / "feed", web=0) as another:
        assert another.web is not None
        assert token not in another.web.url


def test_a_page_wants_a_free_port_and_a_feed(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"--web-dashboard: cannot listen on 127.0.0.1:{port}"):
            Hosting(feed=tmp_path / "feed", web=port)
    with pytest.raises(ConfigError, match="leave out --feed=off"):
        Hosting(feed=False, web=0)


# The feed's socket


def test_a_feed_that_is_in_use_is_not_taken(tmp_path: Path) -> None:
    with Hosting(feed=tmp_path / "feed"), pytest.raises(ConfigError, match="another server has its feed at"):
        Hosting(feed=tmp_path / "feed")


def test_a_socket_that_nobody_listens_at_is_replaced(tmp_path: Path) -> None:
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(tmp_path / "feed"))
    stale.close()
    with Hosting(feed=tmp_path / "feed"):
        pass
    assert not (tmp_path / "feed").exists()


def test_somebody_elses_file_stays(tmp_path: Path) -> None:
    ours = FeedSocket(tmp_path / "feed")
    (tmp_path / "feed").unlink()
    (tmp_path / "feed").touch()
    ours.close()
    assert (tmp_path / "feed").exists()


@pytest.mark.parametrize(
    ("place", "problem"),
    [("nowhere/feed", "No such file"), ("x" * 120, "longer than the 107 bytes"), ("", "is there and no socket")],
)
def test_places_that_cannot_be(tmp_path: Path, place: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        Hosting(feed=tmp_path / place)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_lets_go_and_leaves_the_socket_to_its_parent(tmp_path: Path) -> None:
    with Hosting(feed=tmp_path / "feed") as hosting, Detector(observer=True, hosting=hosting) as detector:
        assert detector.wait_for_observer()
        assert hosting.feed is not None
        pid = os.fork()
        if pid == 0:
            os._exit(0 if hosting.feed.fileno() == -1 and (tmp_path / "feed").is_socket() else 1)
        assert os.waitpid(pid, 0)[1] == 0
        with FeedReader(tmp_path / "feed") as reader:
            assert reader.read(20)

"""What `loophound serve` shows to others: the feed and the metrics, as users ask for them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from loophound.cli import main
from loophound.dashboards.feed import FeedReader, find

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the observer reads /proc")

PATIENCE_S = 20.0
APP = """
import time

async def app(scope, receive, send):
    if scope["path"] == "/sleep":
        time.sleep(0.1)
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"hello"})
"""


@contextmanager
def serving(directory: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """A server in `directory`, whose runtime directory is there too."""
    (directory / "shop.py").write_text(APP)
    environ = {**os.environ, "XDG_RUNTIME_DIR": str(directory), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "loophound", "serve", "shop:app", "--port=0", "--lifespan=off", *options]
    process = subprocess.Popen(command, cwd=directory, env=environ, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        yield process, environ
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def line_with(process: subprocess.Popen[str], word: str) -> str:
    assert process.stderr is not None
    told = []
    for line in process.stderr:
        told.append(line)
        if word in line:
            return line
    raise AssertionError(told)


@pytest.mark.once
def test_a_server_is_found_by_its_feed_until_it_ends(tmp_path: Path) -> None:
    with serving(tmp_path, "--detect-blocking") as (process, environ):
        address = line_with(process, "running on").split()[4]
        deadline_s = time.monotonic() + PATIENCE_S
        while not (found := find(environ)) or found[0].hello["addresses"] != [address]:
            assert time.monotonic() < deadline_s, found
            time.sleep(0.1)
        [server] = found
        assert server.path == str(tmp_path / "loophound" / f"{process.pid}.sock")
        assert (server.hello["app"], server.hello["command"]) == ("shop:app", "serve")
        assert server.hello["threshold_s"] == 0.1
        process.send_signal(signal.SIGTERM)
        with FeedReader(server.path, reconnect=False) as reader:
            states = [message["state"] for message in reader if message["type"] == "worker"]
        assert states[-1] == "gone"
        process.wait(PATIENCE_S)
        assert list((tmp_path / "loophound").iterdir()) == []


@pytest.mark.once
def test_a_feed_elsewhere_or_none(tmp_path: Path) -> None:
    with serving(tmp_path, "--detect-blocking", f"--feed={tmp_path / 'here'}") as (process, environ):
        line_with(process, "running on")
        assert (tmp_path / "here").is_socket()
        assert find(environ) == []
    with serving(tmp_path, "--detect-blocking", "--feed=off") as (process, environ):
        line_with(process, "running on")
        assert not (tmp_path / "loophound").exists()


@pytest.mark.once
def test_metrics_without_any_other_option(tmp_path: Path) -> None:
    with serving(tmp_path, "--metrics=127.0.0.1:0") as (process, _):
        url = line_with(process, "metrics and health at").split()[5].removesuffix("/metrics,")
        line_with(process, "running on")
        with urllib.request.urlopen(f"{url}/healthz", timeout=PATIENCE_S) as answer:
            assert json.loads(answer.read())["status"] == "ok"
        with urllib.request.urlopen(f"{url}/metrics", timeout=PATIENCE_S) as answer:
            assert b"loophound_workers" in answer.read()


@pytest.mark.once
def test_flagged_calls_alone_are_told_in_the_feed_too(tmp_path: Path) -> None:
    feed = tmp_path / "here"
    with serving(tmp_path, "--detect-blocking=calls", f"--feed={feed}") as (process, _):
        address = line_with(process, "running on").split()[4]
        with FeedReader(feed) as reader:
            deadline_s = time.monotonic() + PATIENCE_S
            said: list[dict[str, Any]] = []
            while not (calls := [message["call"] for message in said if message["type"] == "call"]):
                assert time.monotonic() < deadline_s, said
                urllib.request.urlopen(f"{address}/sleep", timeout=PATIENCE_S).close()
                said += reader.read(0.5)
        assert (calls[0]["call"], calls[0]["request"]["path"]) == ("time.sleep", "/sleep")


def test_an_address_after_a_space_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--metrics", "0.0.0.0:9464", "shop:app"]) == 2
    told = "--metrics takes its value after an equals sign: --metrics=0.0.0.0:9464"
    assert capsys.readouterr().err.splitlines() == [f"loophound: {told}"]


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("--metrics=elsewhere", "--metrics takes PORT or HOST:PORT, such as 9464 or 0.0.0.0:9464; got 'elsewhere'"),
        ("--health-limit=0", "--health-limit takes a number of seconds above 0, such as 10.0; got 0.0"),
        ("--feed=/nowhere/feed", "--feed: cannot make the socket '/nowhere/feed': No such file or directory"),
        ("--feed=/etc/hostname", "--feed: '/etc/hostname' is there and no socket; name another place, or remove it"),
    ],
)
def test_bad_values_are_one_line(option: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "shop:app", "--detect-blocking", option]) == 2
    assert capsys.readouterr().err.splitlines() == [f"loophound: {told}"]

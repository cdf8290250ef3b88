"""`loophound top` as it is called: what it finds, what it prints without a terminal, what it says when it cannot."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from loophound.dashboards.feed import default_path, runtime_directory
from tests.dashboards.feed.fake import FakeFeed, hello, worker
from tests.dashboards.top.shop import blocked, figures_of, opening, state

WAIT_S = 60


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment with a runtime directory of its own."""
    kept = {name: value for name, value in os.environ.items() if name not in ("LC_ALL", "LC_CTYPE", "NO_COLOR")}
    environ = {**kept, "XDG_RUNTIME_DIR": str(tmp_path), "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}
    runtime_directory(environ).mkdir(mode=0o700)
    return environ


@pytest.fixture
def feed(environ: dict[str, str]) -> Iterator[FakeFeed]:
    told = [*opening(), state(0), blocked(1, 1.4), figures_of(0, 0), figures_of(1, 0)]
    with FakeFeed(default_path(71, environ), told) as feed:
        yield feed


def top(environ: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "loophound", "top", *words], env=environ, capture_output=True, text=True, timeout=WAIT_S
    )


def test_once_prints_one_picture(environ: dict[str, str], feed: FakeFeed) -> None:
    done = top(environ, "--once")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == 40
    assert "BLOCKED" in lines[0]
    assert "services.py:34 in is_address" in done.stdout
    assert "\x1b" not in done.stdout


def test_in_the_c_locale_it_is_ascii(environ: dict[str, str], feed: FakeFeed) -> None:
    done = top({**environ, "LANG": "C"}, "--once", feed.path)
    assert done.returncode == 0
    assert done.stdout.isascii()
    assert "BLOCKED" in done.stdout


@pytest.mark.parametrize("by", ["pid", "path"])
def test_a_server_is_named_by_its_process_or_its_socket(environ: dict[str, str], feed: FakeFeed, by: str) -> None:
    assert "shop.main:app" in top(environ, "--once", "71" if by == "pid" else feed.path).stdout


def test_without_a_terminal_a_line_a_second(environ: dict[str, str], feed: FakeFeed) -> None:
    command = [sys.executable, "-m", "loophound", "top"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        began_s = time.monotonic()
        lines = [process.stdout.readline() for _ in range(3)]
        assert time.monotonic() - began_s > 2
        process.send_signal(2)
        _, errors = process.communicate(timeout=WAIT_S)
    assert all("worker 1 BLOCKED" in line for line in lines)
    seconds = [float(line.split("BLOCKED ")[1].split(" s ")[0]) for line in lines]
    assert seconds[0] < seconds[1] < seconds[2]  # by the reader's own clock: the feed has said nothing since
    assert (process.returncode, errors) == (130, "")


def test_no_server(environ: dict[str, str]) -> None:
    done = top(environ)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("loophound: no server found: start one with `loophound serve APP")


def test_several_servers_are_listed(environ: dict[str, str], feed: FakeFeed) -> None:
    with FakeFeed(default_path(99, environ), [hello(server="99", app="other:app"), worker()]):
        done = top(environ)
    assert (done.returncode, done.stdout) == (2, "")
    assert "2 servers run; say which" in done.stderr
    assert "loophound top 71   shop.main:app" in done.stderr
    assert "loophound top 99   other:app" in done.stderr


@pytest.mark.parametrize("source", ["nowhere.sock", "12345", "/dev/null"])
def test_a_source_that_is_none(environ: dict[str, str], source: str) -> None:
    done = top(environ, source)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("loophound: no feed at ")
    assert "Traceback" not in done.stderr


def test_a_feed_that_says_nothing(environ: dict[str, str]) -> None:
    with FakeFeed(default_path(71, environ), []) as feed:
        done = top(environ, "--once", feed.path)
    assert done.returncode == 1
    assert "the feed says nothing" in done.stderr

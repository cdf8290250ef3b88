"""The dashboard in a real terminal: keys, sizes, and what is left of the terminal when it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from loophound.dashboards.feed import default_path, runtime_directory
from tests.dashboards.feed.fake import FakeFeed, hello, state, worker
from tests.dashboards.top.shop import blocked, figures_of, opening, stall_of
from tests.dashboards.top.tmux import TMUX, Tmux

pytestmark = [pytest.mark.once, pytest.mark.skipif(TMUX is None, reason="tmux is not installed")]

TOP = [sys.executable, "-m", "loophound", "top"]
SIZES = [(80, 24), (120, 40), (200, 60)]
Open = Callable[..., Tmux]


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[FakeFeed]:
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    runtime_directory(environ).mkdir(mode=0o700)
    told = [*opening(), state(0), blocked(1, 1.4), figures_of(0, 0), figures_of(1, 0)]
    with FakeFeed(default_path(71, environ), told) as feed:
        yield feed


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Open]:
    with ExitStack() as at_end:

        def open_terminal(width: int = 80, height: int = 24, *words: str, **environ: str) -> Tmux:
            base = {"XDG_RUNTIME_DIR": str(tmp_path), "LANG": "C.UTF-8", "LC_ALL": "", "HOME": str(tmp_path)}
            return at_end.enter_context(Tmux(tmp_path, [*TOP, *words], width, height, **{**base, **environ}))

        yield open_terminal


def top_under(shell: int) -> int:
    """The process of the dashboard that the terminal's shell runs."""
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(shell)], capture_output=True, text=True, check=True)
    return int(found.stdout.split()[0])


def is_given_back(screen: str) -> bool:
    """The shell's own screen, with echo and lines as they were."""
    return "ENDED" in screen and " icanon" in screen and " echo " in screen and "│" not in screen


@pytest.mark.parametrize(("width", "height"), SIZES, ids=["80x24", "120x40", "200x60"])
def test_a_tour_of_the_keys(feed: FakeFeed, terminal: Open, width: int, height: int) -> None:
    screen = terminal(width, height)
    shown = screen.wait_for("shop.main:app", "BLOCKED", "culprits", "is_address")
    assert len(shown.splitlines()) == height
    screen.press("Down", "Enter")
    screen.wait_for("culprits ▶ services.py:38 in total_of_day", "def total_of_day")
    screen.press("End")
    screen.wait_for("latest")
    screen.press("Escape")
    screen.wait_for("▾total", without="culprits ▶")
    screen.press("s")
    screen.wait_for("▾worst")
    screen.press("f", *"warehouse", "Enter")
    screen.wait_for("1 of 6", "filter: warehouse", without="in is_address  ")
    screen.press("Escape")
    screen.wait_for("services.py:38", without="filter: warehouse")
    screen.press("t")
    screen.wait_for("coroutine", "Shop.watch_stock", without="▾worst")
    screen.press("t", "?")
    screen.wait_for("Keys", "write a report: SVG, HTML or JSON")
    screen.press("BSpace")
    screen.wait_for("▾worst", without="write a report")
    screen.press("p")
    screen.wait_for("PAUSED")
    screen.press("p", "c")
    screen.wait_for("nobody has blocked the loop", "cleared")
    feed.send(stall_of(2, id="new"))
    screen.wait_for("services.py:30")
    screen.press("q")
    assert is_given_back(screen.wait_for("ENDED 0", "echoke"))


def test_the_clock_goes_on_while_the_feed_is_silent(feed: FakeFeed, terminal: Open) -> None:
    screen = terminal()
    seconds = []
    for _ in range(3):
        shown = screen.wait_for("BLOCKED ", "by services.py:34 in is_address")
        seconds.append(float(shown.split("BLOCKED ")[1].split(" s")[0]))
        time.sleep(0.5)
    assert seconds == sorted(set(seconds))


def test_it_follows_the_size_of_its_window(feed: FakeFeed, terminal: Open) -> None:
    screen = terminal(120, 40)
    screen.wait_for("executors", "routes")
    for width, height in ((80, 24), (200, 60), (41, 11), (30, 8), (120, 40)):
        screen.resize(width, height)
        shown = screen.wait_for("at least, please" if width < 40 else "loops")
        deadline_s = time.monotonic() + 20
        while width >= 40 and not shown.splitlines()[-1].startswith(" ↑↓ select"):
            assert time.monotonic() < deadline_s, shown
            shown = screen.screen()
        assert len(shown.splitlines()) <= height
        assert all(len(line) <= width for line in shown.splitlines())


def test_the_c_locale_and_no_colour(feed: FakeFeed, terminal: Open) -> None:
    screen = terminal(80, 24, LANG="C", LC_ALL="C", NO_COLOR="1")
    screen.wait_for("culprits", "BLOCKED")
    assert screen.screen().isascii()
    codes = {code for part in screen.screen("-e").split("\x1b[")[1:] for code in part.split("m")[0].split(";")}
    assert codes <= {"0", "1", "7", "22", "27", "5", "25", "39", "49"}  # bold, reverse, blink and their ends


def test_reports_are_written_where_it_was_started(feed: FakeFeed, terminal: Open, tmp_path: Path) -> None:
    screen = terminal(120, 40)
    screen.wait_for("BLOCKED", "is_address")
    for key, ending in (("s", "svg"), ("h", "html"), ("j", "json")):
        screen.press("w")
        screen.wait_for("write  ", "HTML, a page on all stalls")
        screen.press(key)
        screen.wait_for(f".{ending}")
    written = sorted(Path.cwd().glob("loophound-*.*"))
    try:
        assert {file.suffix for file in written} >= {".svg", ".html", ".json"}
    finally:
        for file in written:
            file.unlink()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_it_and_gives_the_terminal_back(feed: FakeFeed, terminal: Open, number: int) -> None:
    screen = terminal()
    screen.wait_for("BLOCKED")
    os.kill(top_under(screen.pid), number)
    shown = screen.wait_for("ENDED", "echoke")
    assert is_given_back(shown)
    assert f"ENDED {128 + number}" in shown


def test_a_crash_gives_the_terminal_back(feed: FakeFeed, terminal: Open, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import loophound.dashboards.top.app as app\n"
        "was = app.frame\n"
        "app.frame = lambda scene, *size: was(scene, *size) if scene.interface.focus == 'culprits' else 1 / 0\n"
    )
    screen = terminal(PYTHONPATH=f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    screen.wait_for("BLOCKED")
    screen.press("Tab")
    assert is_given_back(screen.wait_for("ENDED 1", "echoke", "ZeroDivisionError"))


def test_stopped_and_continued(feed: FakeFeed, terminal: Open) -> None:
    screen = terminal()
    screen.wait_for("BLOCKED")
    process = top_under(screen.pid)
    os.kill(process, signal.SIGTSTP)
    screen.wait_for("", without="culprits")
    os.kill(process, signal.SIGCONT)
    screen.wait_for("culprits", "BLOCKED")
    screen.press("q")
    screen.wait_for("ENDED 0")


def test_a_server_that_is_started_again_is_found_by_itself(terminal: Open, tmp_path: Path) -> None:
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    runtime_directory(environ).mkdir(mode=0o700)
    with FakeFeed(default_path(71, environ), opening()):
        screen = terminal()
        screen.wait_for("shop.main:app", "live")
    screen.wait_for("looking for it")
    again = [hello(server="99", app="shop.main:app"), worker(pid=99), state(pid=99)]
    with FakeFeed(default_path(99, environ), again):
        screen.wait_for("live", "a new process serves: 99", without="looking for it")


def test_of_several_servers_one_is_chosen(feed: FakeFeed, terminal: Open, tmp_path: Path) -> None:
    told = [hello(server="99", app="other:app", started_at="2020-01-01T00:00:00Z"), worker(pid=99), state(pid=99)]
    with FakeFeed(default_path(99, {"XDG_RUNTIME_DIR": str(tmp_path)}), told):
        screen = terminal()
        screen.wait_for("2 servers run", "other:app", "shop.main:app")
        screen.press("Down", "Enter")
        screen.wait_for("shop.main:app", "BLOCKED", without="servers run")


def test_a_worker_killed_and_replaced_is_told(feed: FakeFeed, terminal: Open) -> None:
    screen = terminal(120, 40)
    screen.wait_for("BLOCKED")
    feed.send(worker(1, "gone", why="it was killed by SIGKILL"))
    screen.wait_for("gone  it was killed by SIGKILL", without="BLOCKED")
    feed.send(worker(1, "ready", pid=99), state(1, pid=99))
    screen.wait_for("worker 1  pid 99", "72 was killed by SIGKILL")

"""The dashboard beside a real server that blocks: the picture must move while the loop does not."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.dashboards.top.blocking_app import WAYS
from tests.dashboards.top.tmux import TMUX, Tmux

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(TMUX is None, reason="tmux is not installed"),
    pytest.mark.skipif(sys.platform != "linux", reason="the observer reads /proc"),
]

LOOPHOUND = [sys.executable, "-m", "loophound"]
SERVE = [*LOOPHOUND, "serve", "tests.dashboards.top.blocking_app:app", "--port", "0"]
WAIT_S = 60.0
ATTEMPTS = 6
HELD_S = 3.0
BLOCKED_S = 2.0
SIZES = {"sleeps": (80, 24), "waits_for_a_peer": (120, 40), "waits_for_a_lock": (200, 60), "computes": (80, 24),
         "holds_the_gil": (120, 40)}  # fmt: skip
Open = Callable[..., Tmux]


class Server:
    """A server in a process of its own, with requests that keep coming."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.folder = folder
        self.log = folder / "log"
        environ = {**os.environ, "XDG_RUNTIME_DIR": str(folder), "PYTHONUNBUFFERED": "1"}
        with self.log.open("wb") as log:
            command = [*SERVE, "--detect-blocking", "--no-access-log", *words]
            self.process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
        self.port = int(self._logged(r"running on http://127\.0\.0\.1:(\d+)"))
        self._loading = True
        threading.Thread(target=self._load, daemon=True).start()

    def _logged(self, pattern: str) -> str:
        deadline_s = time.monotonic() + WAIT_S
        while not (found := re.search(pattern, self.log.read_text())):
            assert time.monotonic() < deadline_s, self.log.read_text()
            time.sleep(0.05)
        return found[1]

    def _load(self) -> None:
        while self._loading:
            with contextlib.suppress(OSError):
                fetch(self.port, "/")
            time.sleep(0.05)

    def block(self, way: str, seconds: float) -> None:
        threading.Thread(target=fetch, args=(self.port, f"/{way}?seconds={seconds}"), daemon=True).start()

    def close(self) -> None:
        self._loading = False
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def fetch(port: int, path: str) -> bytes:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        return bytes(answer.read())
    return b""


@pytest.fixture
def at_end() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.close()


@pytest.fixture
def terminal(tmp_path: Path, at_end: ExitStack) -> Open:
    def open_terminal(words: list[str], width: int = 120, height: int = 40, runtime: Path = tmp_path) -> Tmux:
        environ = {"XDG_RUNTIME_DIR": str(runtime), "LANG": "C.UTF-8", "LC_ALL": "", "PYTHONUNBUFFERED": "1"}
        return at_end.enter_context(Tmux(tmp_path, words, width, height, **environ))

    return open_terminal


def clock_of(shown: str) -> float:
    """For how long the loop's line says that it does not turn; a crowded machine starves it as well."""
    found = re.search(r"(?:BLOCKED|STARVED|STOPPED) (\d+\.\d) s", shown)
    return float(found[1]) if found else -1.0


@pytest.mark.parametrize("way", list(WAYS))
def test_who_blocks_is_shown_while_it_lasts(way: str, server: Server, terminal: Open) -> None:
    screen = terminal([*LOOPHOUND, "top"], *SIZES[way], server.folder)
    screen.wait_for("live", "req/s")
    for _ in range(ATTEMPTS):  # on a crowded machine it may show just before it ends
        if goes_on(screen, clock_of(blocked(screen, server, way))):
            break
    else:
        pytest.fail(f"the clock stood still:\n{screen.screen()}")
    screen.wait_for("live", without="BLOCKED ")
    screen.press("f", *way, "Enter", "Enter")  # others have blocked this server before
    source = [f"def {way}"] if SIZES[way][1] >= 40 else []
    screen.wait_for(f"in {way}", "held the loop for ", *source)
    screen.press("q")
    screen.wait_for("ENDED 0")


@pytest.mark.parametrize(
    ("way", "shown", "cause"),
    [
        ("imports", "in imports in GET /imports", "import"),
        ("collects", "in collects in GET /collects", "gc"),
        ("lets_another_thread_compute", "by another thread, blocking_app.py", "contention"),
        ("floods", "in little in GET /floods", "flood"),
    ],
)
def test_what_else_can_hold_a_loop(way: str, shown: str, cause: str, server: Server, terminal: Open) -> None:
    screen = terminal([*LOOPHOUND, "top"], 120, 40, server.folder)
    screen.wait_for("live", "req/s")
    for _ in range(ATTEMPTS):  # where others take the CPU, it is starved
        server.block(way, BLOCKED_S)
        with contextlib.suppress(AssertionError):
            screen.wait_for("BLOCKED ", shown, within_s=6.0)
            screen.wait_for("live", f" {cause} ", within_s=6.0)
            break
    else:
        pytest.fail(f"{way} never showed:\n{screen.screen()}")


def goes_on(screen: Tmux, first_s: float) -> bool:
    """Whether the clock goes on, which is the reader's own."""
    deadline_s = time.monotonic() + 1.5
    while time.monotonic() < deadline_s:
        if clock_of(screen.screen()) > first_s:
            return True
        time.sleep(0.1)
    return False


def blocked(screen: Tmux, server: Server, way: str) -> str:
    """The screen while it shows who blocks. Where others take the CPU, a loop that computes is starved: try again."""
    for _ in range(ATTEMPTS):
        server.block(way, HELD_S if way == "holds_the_gil" else BLOCKED_S)
        with contextlib.suppress(AssertionError):
            return screen.wait_for("BLOCKED ", f"blocking_app.py:{line_in(way)}", within_s=6.0)
    pytest.fail(f"{way} never showed as blocked:\n{screen.screen()}")


def line_in(way: str) -> str:
    """The line that blocks; any, where several do."""
    lines = Path(__file__).with_name("blocking_app.py").read_text().splitlines()
    start = lines.index(f"def {way}(seconds: float) -> None:")
    texts = {"sleeps": "time.sleep", "waits_for_a_peer": "recv", "waits_for_a_lock": "wait(seconds)", "computes": None,
             "holds_the_gil": "usleep"}  # fmt: skip
    text = texts[way]
    return "" if text is None else str(next(n for n, line in enumerate(lines[start:], start + 1) if text in line))


def test_a_process_that_is_stopped(server: Server, terminal: Open) -> None:
    screen = terminal([*LOOPHOUND, "top"], 80, 24, server.folder)
    screen.wait_for("live")
    server.process.send_signal(signal.SIGSTOP)
    screen.wait_for("STOPPED 2", "the process stands still")
    server.process.send_signal(signal.SIGCONT)
    screen.wait_for("live", without="STOPPED ")


def test_of_two_workers_the_blocked_one_and_one_that_is_replaced(
    terminal: Open, tmp_path: Path, at_end: ExitStack
) -> None:
    server = Server(tmp_path, "--workers", "2")
    at_end.callback(server.close)
    screen = terminal([*LOOPHOUND, "top"], 120, 40)
    screen.wait_for("2 workers", "worker 1", "worker 2", "live")
    server.block("sleeps", 3.0)
    shown = screen.wait_for("BLOCKED ", "in sleeps", "● ok")
    rows = [line for line in shown.splitlines() if re.search(r"│ worker \d  pid \d+", line)]
    assert sorted("BLOCKED" in row for row in rows) == [False, True]
    screen.wait_for("live", without="BLOCKED ")
    killed = int(fetch(server.port, "/"))
    os.kill(killed, signal.SIGKILL)
    screen.wait_for("worker 1", "worker 2", f"{killed} was ", without=f"pid {killed}")


def test_in_the_servers_own_terminal_with_its_log(terminal: Open) -> None:
    screen = terminal([*SERVE, "--dashboard"])
    shown = screen.wait_for("live", "log", "running on http://127.0.0.1:")
    port = int(re.findall(r"running on http://127\.0\.0\.1:(\d+)", shown)[0])
    fetch(port, "/log")
    screen.wait_for("a line of the application's own", '"GET /log HTTP/1.1" 200 OK')
    threading.Thread(target=fetch, args=(port, "/holds_the_gil?seconds=3"), daemon=True).start()
    first = clock_of(screen.wait_for("BLOCKED ", "holds_the_gil"))
    time.sleep(0.7)
    assert clock_of(screen.screen()) > first
    screen.wait_for("live", "BLOCKED 3.", without="● BLOCKED")  # it is in the log
    screen.press("C-c")
    shown = screen.wait_for("ENDED 0", "Shutting down", "a line of the application's own", " icanon")
    assert "│" not in shown


def test_after_q_the_log_goes_on(terminal: Open) -> None:
    screen = terminal([*SERVE, "--dashboard"])
    shown = screen.wait_for("live", "running on http://127.0.0.1:")
    port = int(re.findall(r"running on http://127\.0\.0\.1:(\d+)", shown)[0])
    screen.press("q")
    screen.wait_for("running on http://127.0.0.1:", without="│")
    fetch(port, "/log")
    screen.wait_for("a line of the application's own", '"GET /log HTTP/1.1" 200 OK')
    screen.press("C-c")
    screen.wait_for("ENDED 0", "Shutting down")


def test_a_dashboard_that_is_killed_leaves_server_and_terminal_in_order(terminal: Open) -> None:
    screen = terminal([*SERVE, "--dashboard"])
    shown = screen.wait_for("live", "running on http://127.0.0.1:")
    port = int(re.findall(r"running on http://127\.0\.0\.1:(\d+)", shown)[0])
    server = int(fetch(port, "/"))
    found = subprocess.run(["pgrep", "-f", f"top.beside .*/{server}.sock"], capture_output=True, text=True, check=True)
    os.kill(int(found.stdout), signal.SIGSTOP)
    for _ in range(40):  # more than the pipe holds: the server does not wait for who does not read
        assert fetch(port, "/flood") == str(server).encode()
    os.kill(int(found.stdout), signal.SIGKILL)
    screen.wait_for("", without="│")
    fetch(port, "/log")
    screen.wait_for("a line of the application's own", without="│")
    screen.press("C-c")
    screen.wait_for("ENDED 0", "Shutting down", "bytes of the log were not shown", " icanon", " echo ")


def test_a_server_that_cannot_start_leaves_its_words(terminal: Open) -> None:
    screen = terminal([*LOOPHOUND, "serve", "nowhere:app", "--dashboard"])
    shown = screen.wait_for("ENDED 3", " icanon")
    assert "nowhere" in shown
    assert "│" not in shown


def test_without_a_terminal_the_dashboard_says_that_it_shows_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [*LOOPHOUND, "serve", "nowhere:app", "--dashboard"], env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True, text=True, timeout=WAIT_S,
    )  # fmt: skip
    assert done.returncode == 3
    assert done.stderr.splitlines()[0] == "loophound: no terminal here, so --dashboard shows nothing"

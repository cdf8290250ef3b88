"""The console as it is used: a telnet client at a real server, which blocks meanwhile."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.dashboards.console.telnet import ANSWERS, Telnet

pytest.importorskip("aiomonitor")
pytestmark = pytest.mark.once

LOOPHOUND = [sys.executable, "-m", "loophound"]
SERVE = [*LOOPHOUND, "serve", "tests.dashboards.top.blocking_app:app", "--port", "0", "--no-access-log"]
WAIT_S = 60.0


class Server:
    """What it printed, and where it listens."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process, self._log = process, log
        self.port = int(self.logged(r"running on http://127\.0\.0\.1:(\d+)"))
        self.console = int(self.logged(r"Console at 127\.0\.0\.1:(\d+)"))

    def logged(self, pattern: str) -> str:
        deadline_s = time.monotonic() + WAIT_S
        while not (found := re.search(pattern, self._log.read_text())):
            assert time.monotonic() < deadline_s, self._log.read_text()
            time.sleep(0.05)
        return found[found.lastindex or 0]

    def block(self, way: str, seconds: float) -> None:
        threading.Thread(target=self.fetch, args=(f"/{way}?seconds={seconds}",), daemon=True).start()

    def fetch(self, path: str) -> bytes:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}") as answer:
            return bytes(answer.read())
        return b""


@contextmanager
def serving(folder: Path, *words: str) -> Iterator[Server]:
    log = folder / "log"
    with log.open("wb") as file:
        environ = {**os.environ, "XDG_RUNTIME_DIR": str(folder), "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen([*SERVE, "--console=0", *words], env=environ, stdout=file, stderr=file)
    try:
        yield Server(process, log)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_its_commands_beside_aiomonitors_own(loop: str, tmp_path: Path) -> None:
    with serving(tmp_path, "--loop", loop) as server, Telnet(server.console) as console:
        assert "no stalls yet" in console.ask("stalls", "no stalls")
        server.fetch("/sleeps?seconds=0.3")
        server.logged("BLOCKED")
        shown = console.ask("stalls", "in sleeps", ">>>")
        found = re.search(r"^(\w+) .* sleep .*blocking_app\.py:\d+ in sleeps", shown, re.MULTILINE)
        assert found is not None
        assert "remedy:" in console.ask(f"stall {found[1][:8]}", "remedy:", "blocking_app.py")
        console.ask("culprits", "in sleeps")
        console.ask("calls", "time.sleep")
        console.ask("lag", "it answers after", "MainThread")
        console.ask("offload", "nothing is offloaded")
        console.ask("ps", "tasks running", "Server.")
        console.ask("help", "Show the latest stalls of the loop", "Show stack frames and the task")


def test_it_answers_while_the_loop_is_blocked(tmp_path: Path) -> None:
    with serving(tmp_path) as server, Telnet(server.console) as console:
        server.block("sleeps", 9.0)
        deadline_s = time.monotonic() + 8
        while "does not answer" not in console.ask("lag", "now"):
            assert time.monotonic() < deadline_s
        assert "in sleeps" in console.ask("stacktrace", "in sleeps")
        while not re.search(r"\+ +sleep .*in sleeps", console.ask("stalls", "stall", ">>>")):
            assert time.monotonic() < deadline_s  # it is announced after a second


def test_the_python_console_is_the_loops_own(tmp_path: Path) -> None:
    with serving(tmp_path) as server, Telnet(server.console) as console:
        console.ask("console", "Try: await")
        assert "True" in console.ask("loop.is_running()", "True")


def test_a_page_in_a_browser_runs_no_command(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        with Telnet(server.console):
            pass  # it listens
        with socket.create_connection(("127.0.0.1", server.console), timeout=WAIT_S) as caller:
            # The body may be any bytes: here those that make it a terminal, and then commands.
            head = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\n\r\n"
            caller.sendall(head + ANSWERS + b"signal SIGKILL\r\n" * 5)
            with contextlib.suppress(ConnectionResetError):
                while caller.recv(65536):
                    pass
        assert server.process.poll() is None
        assert server.fetch("/")


def test_only_loopback_and_one_port(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        with Telnet(server.console):
            pass
        listening = _listening(server.process.pid)
    assert listening == {("127.0.0.1", server.port), ("127.0.0.1", server.console)}


def _listening(pid: int) -> set[tuple[str, int]]:
    """Where the process listens, from /proc/net/tcp (proc_net_tcp.txt of the kernel)."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            inodes.add(os.readlink(entry).removeprefix("socket:[").removesuffix("]"))
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and fields[9] in inodes:
            address, port = fields[1].split(":")
            found.add((socket.inet_ntoa(bytes.fromhex(address)[::-1]), int(port, 16)))
    return found


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run([*SERVE, f"--console={port}"], capture_output=True, text=True, timeout=WAIT_S)
    assert done.returncode == 3
    assert f"--console: cannot listen on 127.0.0.1:{port}: Address already in use" in done.stderr


def test_without_aiomonitor_it_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['aiomonitor'] = None; from loophound.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *SERVE[3:], "--console"], capture_output=True, text=True, timeout=WAIT_S
    )
    assert done.returncode == 2
    assert done.stderr == "loophound: --console wants the package aiomonitor: pip install 'loophound[console]'\n"

"""Socket activation and sd_notify, with a socket in systemd's place, and with its own systemd-socket-activate."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from loophound.systemd import Service, listen_descriptors
from tests.supervisor.running import APP, PATIENCE_S, Supervised, wait_until

Start = Callable[..., Supervised]
ACTIVATE = shutil.which("systemd-socket-activate")


class Manager:
    """Hears what a service says."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(PATIENCE_S)
        self.heard: list[str] = []

    def hear(self, word: str) -> None:
        while not any(word in message for message in self.heard):
            self.heard.append(self.socket.recv(4096).decode())

    def drain(self) -> list[str]:
        self.heard.clear()
        self.socket.setblocking(False)
        try:
            while True:
                self.heard.append(self.socket.recv(4096).decode())
        except BlockingIOError:
            return self.heard
        finally:
            self.socket.settimeout(PATIENCE_S)


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    path = tmp_path / "notify"
    monkeypatch.setenv("NOTIFY_SOCKET", str(path))
    monkeypatch.setenv("WATCHDOG_USEC", "2000000")
    made = Manager(path)
    yield made
    made.socket.close()


@pytest.mark.once
@pytest.mark.parametrize("options", [(), ("--workers=2",)])
def test_ready_alive_and_stopping(supervised: Start, manager: Manager, options: tuple[str, ...]) -> None:
    server = supervised(*options)
    manager.hear("READY=1")
    assert server.get()
    manager.hear("WATCHDOG=1")
    manager.heard.clear()
    manager.hear("WATCHDOG=1")
    if options:
        server.send(signal.SIGHUP)
        manager.hear("RELOADING=1\nMONOTONIC_USEC=")
        manager.heard.clear()
        manager.hear("READY=1")
    assert server.end() == 0
    assert "STOPPING=1" in manager.drain()


@pytest.mark.once
def test_the_watchdog_hears_nothing_of_a_loop_that_hangs(supervised: Start, manager: Manager) -> None:
    server = supervised(app=APP.replace("sleep(600)", "sleep(3)"))
    manager.hear("WATCHDOG=1")
    with server.send_and_leave("/hang"):
        time.sleep(0.5)
        manager.drain()
        time.sleep(2)
        assert manager.drain() == []
        manager.hear("WATCHDOG=1")


def test_what_is_not_for_this_process() -> None:
    assert listen_descriptors({"LISTEN_FDS": "2", "LISTEN_PID": f"{os.getpid()}"}) == [3, 4]
    assert listen_descriptors({"LISTEN_FDS": "2", "LISTEN_PID": "1"}) == []
    assert listen_descriptors({"LISTEN_FDS": "x", "LISTEN_PID": "y"}) == []
    assert Service.of({}) is None
    assert Service.of({"NOTIFY_SOCKET": "vsock:2:1"}) is None
    service = Service.of({"NOTIFY_SOCKET": "/nowhere/at/all", "WATCHDOG_USEC": "5000000"})
    assert service is not None
    service.ready("nobody listens")  # and nothing is raised
    service.close()


@pytest.mark.once
@pytest.mark.skipif(ACTIVATE is None, reason="systemd-socket-activate is not installed")
@pytest.mark.parametrize("options", [(), ("--workers=2",)])
def test_activation_by_a_connection(tmp_path: Path, options: tuple[str, ...]) -> None:
    assert ACTIVATE is not None
    (tmp_path / "main.py").write_text(APP)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "loophound", "serve", "main:app", *options]
    process = subprocess.Popen(
        [ACTIVATE, f"--listen=127.0.0.1:{port}", f"--setenv=PYTHONPATH={os.getcwd()}", *command],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:

        def asks() -> bool:
            with socket.socket() as sock:
                sock.settimeout(PATIENCE_S)
                if sock.connect_ex(("127.0.0.1", port)):
                    return False
                sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                return sock.recv(100).startswith(b"HTTP/1.1 200")

        wait_until(asks, "it is started by the first connection")
    finally:
        process.terminate()
        assert process.wait(PATIENCE_S) == 0

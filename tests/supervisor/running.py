"""A supervisor in a process of its own, and clients that retry nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import IO

PATIENCE_S = 30.0  # bounds a failing test; a passing one never waits for it

APP = """
import asyncio, os, re, time

VERSION = 1
kept = []

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    path = scope["path"]
    if path == "/sleep":
        await asyncio.sleep(1)
    if path == "/hang":
        time.sleep(600)
    if path == "/regex":
        re.match(r"(a+)+$", "a" * 60 + "b")
    if path == "/eat":
        kept.append(b"x" * 100_000_000)
    if path == "/crash":
        os._exit(9)
    body = f"{os.getpid()} {VERSION}".encode()
    head = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": body})
"""


def wait_until(true: Callable[[], object], what: str = "", patience_s: float = PATIENCE_S) -> None:
    deadline_s = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < deadline_s, f"in vain: {what or true}"
        time.sleep(0.02)


class Supervised:
    """`loophound serve main:app OPTIONS` in `folder`; its log is read as it comes."""

    def __init__(self, folder: Path, *options: str, app: str | None = APP, target: str = "main:app") -> None:
        if app is not None:
            (folder / "main.py").write_text(app)
        self.folder = folder
        self.lines: list[str] = []
        self.out_lines: list[str] = []
        self.known_port = 0  # where the log does not go to standard error
        self.process = subprocess.Popen(
            [sys.executable, "-m", "loophound", "serve", target, "--port=0", "--no-access-log", *options],
            cwd=folder,
            stdin=subprocess.PIPE,  # a debugger reads from it, and waits
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        self.pid = self.process.pid
        streams = (self.process.stderr, self.lines), (self.process.stdout, self.out_lines)
        self._readers = [threading.Thread(target=self._read, args=each, daemon=True) for each in streams]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(stream: IO[str], lines: list[str]) -> None:
        for line in stream:
            lines.append(line)

    @property
    def out(self) -> str:
        """Standard output: the access log, and what the application prints."""
        return "".join(self.out_lines)

    @property
    def log(self) -> str:
        return "".join(self.lines)

    def wait_for(self, text: str, count: int = 1) -> None:
        try:
            wait_until(lambda: len(re.findall(text, self.log)) >= count or self.process.poll() is not None)
            assert len(re.findall(text, self.log)) >= count, "it has ended"
        except AssertionError as error:
            raise AssertionError(f"{error}: {text!r} is not in the log {count} times:\n{self.log}") from None

    @property
    def port(self) -> int:
        if self.known_port:
            return self.known_port
        self.wait_for("running on")
        found = re.search(r"running on https?://127\.0\.0\.1:(\d+)", self.log)
        assert found is not None, self.log
        return int(found[1])

    def workers(self) -> list[int]:
        """The processes of workers that serve or start, by the log of who came and by /proc of who is there."""
        return [pid for pid in children(self.pid) if b"loophound.supervisor.worker" in command_line(pid)]

    def get(self, path: str = "/") -> bytes:
        """One request on a connection of its own; the body."""
        with socket.create_connection(("127.0.0.1", self.port)) as sock:
            sock.settimeout(PATIENCE_S)
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda: sock.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 200"), answer
        return answer.partition(b"\r\n\r\n")[2]

    def send_and_leave(self, path: str) -> socket.socket:
        """A request whose answer is not waited for; the connection, for the caller to close."""
        sock = socket.create_connection(("127.0.0.1", self.port))
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        return sock

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.send(number)
        code = self.process.wait(PATIENCE_S)
        for reader in self._readers:
            reader.join(PATIENCE_S)
        return code

    def close(self) -> None:
        left = children(self.pid)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for reader in self._readers:
            reader.join(PATIENCE_S)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


def children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


class Load(threading.Thread):
    """Clients that keep their connection as long as the server does, and call whatever else happens an error."""

    def __init__(
        self, port: int, clients: int = 8, path: str = "/", pause_s: float = 0.0, patience_s: float = PATIENCE_S
    ) -> None:
        super().__init__(daemon=True)
        self._port, self._clients, self._path, self._pause_s = port, clients, path, pause_s
        self._patience_s = patience_s
        self._over = threading.Event()
        self.answers: Counter[str] = Counter()
        self.connections = 0
        self.failures: list[tuple[float, str]] = []  # and when they came

    @property
    def errors(self) -> list[str]:
        return [text for _, text in self.failures]

    def _fail(self, text: str) -> None:
        self.failures.append((time.monotonic(), text))

    def __enter__(self) -> Load:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join(self._patience_s)

    def run(self) -> None:
        asyncio.run(self._all())

    async def _all(self) -> None:
        await asyncio.gather(*(self._one() for _ in range(self._clients)))

    async def _one(self) -> None:
        request = f"GET {self._path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
        while not self._over.is_set():
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError as error:
                self._fail(f"refused: {error!r}")
                await asyncio.sleep(0.05)
                continue
            self.connections += 1
            try:
                while not self._over.is_set():
                    writer.write(request)
                    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), self._patience_s)
                    found = re.search(rb"content-length: (\d+)", head.lower())
                    if not head.startswith(b"HTTP/1.1 200") or found is None:
                        self._fail(f"answered {head[:60]!r}")
                        break
                    self.answers[(await reader.readexactly(int(found[1]))).decode()] += 1
                    if b"connection: close" in head.lower():
                        break
                    if self._pause_s:
                        await asyncio.sleep(self._pause_s)
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                self._fail(f"after {sum(self.answers.values())} answers: {error!r}")
            finally:
                writer.close()

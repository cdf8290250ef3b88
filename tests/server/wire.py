"""A real server in a thread, and a client that sees every byte."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from loophound.config import Config
from loophound.server import Server
from loophound.server.hooks import Hooks
from loophound.server.server import loop_factory

PATIENCE_S = 10.0  # bounds a failing test; a passing one never waits for it
HOST = b"Host: a\r\n"


@dataclass
class Response:
    status: int
    headers: list[tuple[str, str]]
    body: bytes
    version: str = "1.1"

    def header(self, name: str) -> str | None:
        values = [value for key, value in self.headers if key == name]
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return values[0] if values else None


class Client:
    """A raw connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.settimeout(PATIENCE_S)
        self.buffer = b""

    def send(self, *pieces: bytes) -> Client:
        self.sock.sendall(b"".join(pieces))
        return self

    def get(self, target: bytes = b"/", *headers: bytes, method: bytes = b"GET") -> Client:
        lines = b"".join(header + b"\r\n" for header in headers)
        return self.send(method + b" " + target + b" HTTP/1.1\r\n" + HOST + lines + b"\r\n")

    def read_until(self, end: bytes) -> bytes:
        while end not in self.buffer:
            self._more()
        found, _, self.buffer = self.buffer.partition(end)
        return found + end

    def read_bytes(self, count: int) -> bytes:
        while len(self.buffer) < count:
            self._more()
        found, self.buffer = self.buffer[:count], self.buffer[count:]
        return found

    def _more(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise EOFError(self.buffer)
        self.buffer += data

    def response(self, *, head: bool = False) -> Response:
        """The next response, its body delimited as RFC 9112, section 6.3, says."""
        lines = self.read_until(b"\r\n\r\n").decode("latin-1").split("\r\n")[:-2]
        version, status, _ = lines[0].split(" ", 2)
        headers = [(name.lower(), value) for name, _, value in (line.partition(": ") for line in lines[1:])]
        answer = Response(int(status), headers, b"", version.removeprefix("HTTP/"))
        length = answer.header("content-length")
        if head or answer.status in (204, 304) or answer.status < 200:
            return answer
        if answer.header("transfer-encoding") == "chunked":
            answer.body = self._chunks()
        elif length is not None:
            answer.body = self.read_bytes(int(length))
        else:
            answer.body = self.rest()
        return answer

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self.read_until(b"\r\n"), 16):
            body += self.read_bytes(size)
            assert self.read_bytes(2) == b"\r\n"
        assert self.read_bytes(2) == b"\r\n"
        return body

    def rest(self) -> bytes:
        """What comes until the server closes."""
        while True:
            try:
                self._more()
            except EOFError:
                break
        found, self.buffer = self.buffer, b""
        return found

    def closed(self) -> bool:
        """Whether the server closes, having said nothing more."""
        try:
            return self.rest() == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self.sock.close()


@dataclass
class Running:
    """A server that runs in a thread until `stop()`."""

    server: Server
    thread: threading.Thread
    clients: list[Client] = field(default_factory=list)
    error: list[BaseException] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.server.sockets[0].getsockname()[1])

    def connect(self, *, receive_buffer: int | None = None) -> Client:
        sock = socket.socket()
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(PATIENCE_S)
        sock.connect(("127.0.0.1", self.port))
        client = Client(sock)
        self.clients.append(client)
        return client

    def get(self, target: bytes = b"/", *headers: bytes) -> Response:
        client = self.connect()
        try:
            return client.get(target, *headers).response()
        finally:
            client.close()

    def stop(self) -> None:
        for client in self.clients:
            client.close()
        self.server.should_exit = True
        self.thread.join(PATIENCE_S)
        assert not self.thread.is_alive(), "the server did not stop"


def start(app: Any, loop: str, *, hooks: Hooks | None = None, **options: Any) -> Running:
    options = {"port": 0, "access_log": False, "loop": loop, "timeout_graceful_shutdown": 0.5} | options
    server = Server(Config(app=app, **options), hooks)

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=loop_factory(server.config.loop)) as runner:
                runner.run(server.serve())
        except BaseException as error:
            running.error.append(error)

    running = Running(server, threading.Thread(target=run, daemon=True))
    running.thread.start()
    wait_until(lambda: server.started or bool(running.error))
    if running.error:
        raise running.error[0]
    return running


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)

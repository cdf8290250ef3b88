"""What a supervisor asks its observer, and the answers: JSON lines on a socket pair."""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Callable
from typing import Any, Protocol

from loophound.observer.lines import Lines, line_of
from loophound.observer.watched import Watched

LARGEST_READ = 1 << 16


class Hosting(Protocol):
    """What the observer's end needs of its host."""

    watched: list[Watched]

    def listen(self, descriptor: int, handler: Callable[[], None]) -> None: ...

    def watch_writing(self, descriptor: int, wanted: bool) -> None: ...

    def publish(self, message: dict[str, Any]) -> None: ...

    def end(self) -> None: ...


class Control:
    """The observer's end."""

    def __init__(self, host: Hosting, connection: socket.socket) -> None:
        self._host = host
        self._connection = connection
        self._descriptor = connection.fileno()
        self._buffer = b""
        self._lines = Lines(connection, lambda wanted: host.watch_writing(self._descriptor, wanted))
        host.listen(self._descriptor, self._ready)

    def _ready(self) -> None:
        self._lines.flush()
        try:
            data = self._connection.recv(LARGEST_READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._host.end()
            return
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            asked = json.loads(line)
            if "tell" in asked:
                self._host.publish(asked["tell"])
            else:
                self._lines.put(line_of({"id": asked["id"], "answer": self._answer(asked)}))

    def _answer(self, asked: dict[str, Any]) -> Any:
        now_ns = time.monotonic_ns()
        if asked["ask"] == "workers":
            return [
                {"worker": each.attachment.worker, "pid": each.attachment.pid, "loops": each.states(now_ns)}
                for each in self._host.watched
                if not each.attachment.by_proxy
            ]
        for each in self._host.watched:
            if each.attachment.pid == asked["pid"] and each.attachment.by_proxy == asked.get("by_proxy", False):
                return each.diagnose(now_ns)
        return None


class ControlEnd:
    """The supervisor's end: asks, and waits for the answer. Not thread-safe."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = b""
        self._asked = 0
        connection.setblocking(False)

    def tell(self, message: dict[str, Any]) -> None:
        """Hand over a message of the feed; it is lost when the observer has ended or does not read."""
        try:
            self._connection.send(line_of({"tell": message}))
        except OSError:
            return

    def ask(self, question: dict[str, Any], timeout_s: float) -> Any:
        """The answer, None when there is none in time."""
        self._asked += 1
        deadline_s = time.monotonic() + timeout_s
        try:
            self._connection.send(line_of({**question, "id": self._asked}))
            while (left_s := deadline_s - time.monotonic()) > 0:
                for answer in self._read(left_s):
                    if answer["id"] == self._asked:  # else of a question that was given up
                        return answer["answer"]
        except (OSError, EOFError):
            return None
        return None

    @property
    def open(self) -> bool:
        """Whether the observer still has its end."""
        try:
            return bool(self._connection.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return True
        except OSError:
            return False

    def _read(self, timeout_s: float) -> list[Any]:
        poller = select.poll()
        poller.register(self._connection, select.POLLIN)
        if not poller.poll(timeout_s * 1000):
            return []
        data = self._connection.recv(LARGEST_READ)
        if not data:
            raise EOFError
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        self._connection.close()

"""Reads the feed of one server, and connects again when the server was started again."""

from __future__ import annotations

import json
import os
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

# A JSON object of the feed, docs/feed.md; each has a "type".
Message = dict[str, Any]

PAUSE_S = 0.25
CONNECT_S = 1.0
LARGEST_READ = 1 << 18
LONGEST_LINE = 1 << 22


class FeedReader:
    """Connects to the socket at `path` at once; raises OSError when nobody listens there.

    With `reconnect` it goes on trying when the connection is lost, also at the socket of another
    process that serves the same application: a server that is started again has another process
    id. Two messages are the reader's own: {"type": "disconnected"} and {"type": "connected", "path": ...}; after the
    latter everything comes anew, "hello" first.
    """

    def __init__(self, path: str | os.PathLike[str], *, reconnect: bool = True) -> None:
        self.path = os.fspath(path)
        self.hello: Message = {}
        self._reconnect = reconnect
        self._buffer = b""
        self._tried_s = 0.0
        self._socket: socket.socket | None = _connect(self.path)

    @property
    def connected(self) -> bool:
        return self._socket is not None

    def fileno(self) -> int:
        """The socket, for select(2); -1 while there is no connection."""
        return -1 if self._socket is None else self._socket.fileno()

    def read(self, timeout_s: float | None = None) -> list[Message]:
        """All that has come; waits for the first message, `timeout_s` at most.

        Empty when nothing came in time, or when the feed has ended for good.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left_s = None if deadline_s is None else max(0.0, deadline_s - time.monotonic())
            messages = self._read_once(left_s) if self._socket is not None else self._try_again(left_s)
            out_of_time = deadline_s is not None and time.monotonic() >= deadline_s
            if messages or out_of_time or self._ended:
                return messages

    def __iter__(self) -> Iterator[Message]:
        """One message after the other, until the feed has ended for good."""
        while messages := self.read():
            yield from messages

    def close(self) -> None:
        """Let go of the feed; a second call does nothing."""
        self._reconnect = False
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _ended(self) -> bool:
        return self._socket is None and not self._reconnect

    def _read_once(self, timeout_s: float | None) -> list[Message]:
        assert self._socket is not None
        poller = select.poll()
        poller.register(self._socket, select.POLLIN)
        if not poller.poll(None if timeout_s is None else timeout_s * 1000):
            return []
        try:
            data = self._socket.recv(LARGEST_READ)
        except OSError:
            data = b""
        if not data or len(self._buffer) > LONGEST_LINE:
            self._socket.close()
            self._socket, self._buffer = None, b""
            return [{"type": "disconnected"}] if self._reconnect else []
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        return [message for line in lines if (message := self._message(line)) is not None]

    def _message(self, line: bytes) -> Message | None:
        try:
            message = json.loads(line)
        except ValueError:
            return None
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            return None
        if message["type"] == "hello":
            self.hello = message
        return message

    def _try_again(self, timeout_s: float | None) -> list[Message]:
        if self._ended:
            return []
        wait_s = max(0.0, self._tried_s + PAUSE_S - time.monotonic())
        if timeout_s is not None and timeout_s < wait_s:
            time.sleep(timeout_s)
            return []
        time.sleep(wait_s)
        self._tried_s = time.monotonic()
        for path in (self.path, *self._others()):
            try:
                self._socket = _connect(path)
            except OSError:
                continue
            self.path = path
            return [{"type": "connected", "path": path}]
        return []

    def _others(self) -> Iterator[str]:
        """The sockets of servers with the same application, in the directory where the last one was."""
        from loophound.dashboards.feed.finding import introduction

        what = (self.hello.get("app"), self.hello.get("command"))
        if what[0] is None or Path(self.path).stem != str(self.hello.get("server")):
            return  # it was told where to look: at no other place
        for path in sorted(Path(self.path).parent.glob("*.sock")):
            hello = introduction(path) if str(path) != self.path else None
            if hello is not None and (hello.get("app"), hello.get("command")) == what:
                yield str(path)


def _connect(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(CONNECT_S)  # a stopped process accepts nobody, and its queue may be full
        connection.connect(path)
        connection.settimeout(None)
    except BaseException:
        connection.close()
        raise
    return connection

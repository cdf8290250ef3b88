"""A connection that gets lines, and is never waited for."""

from __future__ import annotations

import json
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Any

# A late joiner gets a hundred stalls at once, of some 10 to 30 KB each.
MOST_QUEUED_BYTES = 4 << 20
# Who has taken nothing for so long does not read any more.
PATIENCE_NS = 5_000_000_000


def line_of(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


class Lines:
    """Queues what the other end does not take at once; what is too much is lost, and counted.

    `watch_writing` is called with True when there is something to wait for: call `flush()` when
    the socket can be written again.
    """

    def __init__(self, connection: socket.socket, watch_writing: Callable[[bool], None]) -> None:
        self.connection = connection
        self.lost = 0
        self.gone = False
        self._watch_writing = watch_writing
        self._queue: deque[memoryview] = deque()
        self._queued_bytes = 0
        self._untold = 0
        self._took_ns = time.monotonic_ns()
        connection.setblocking(False)

    def put(self, line: bytes) -> None:
        if self.gone:
            return
        if self._queued_bytes + len(line) > MOST_QUEUED_BYTES:
            self.lost += 1
            self._untold += 1
            return
        if self._untold:
            self._append(line_of({"type": "dropped", "lines": self._untold}))
            self._untold = 0
        waiting = bool(self._queue)
        self._append(line)
        if not waiting:
            self.flush()

    @property
    def stuck(self) -> bool:
        """Whether the other end has taken nothing for long."""
        return bool(self._queue) and time.monotonic_ns() - self._took_ns > PATIENCE_NS

    def _append(self, line: bytes) -> None:
        if not self._queue:
            self._took_ns = time.monotonic_ns()
        self._queue.append(memoryview(line))
        self._queued_bytes += len(line)

    def flush(self) -> None:
        """Hand over what the socket takes."""
        queue = self._queue
        while queue and not self.gone:
            try:
                taken = self.connection.send(queue[0])
            except BlockingIOError:
                break
            except OSError:
                self.gone = True
                return
            self._took_ns = time.monotonic_ns()
            self._queued_bytes -= taken
            rest = queue[0][taken:]
            if rest:
                queue[0] = rest
            else:
                queue.popleft()
        self._watch_writing(bool(queue))

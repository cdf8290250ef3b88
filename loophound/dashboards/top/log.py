"""The server's log as it comes through a pipe: the latest lines, and at the end what is left on the terminal."""

from __future__ import annotations

import os
from collections import deque

MOST_LINES = 500
LONGEST_LINE = 1 << 16
READ_BYTES = 1 << 18


class PipedLog:
    """Reads lines from a descriptor. `read()` is called when there is something to read."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._rest = b""
        self.lines: deque[str] = deque(maxlen=MOST_LINES)

    def fileno(self) -> int:
        return self._descriptor

    def read(self) -> bool:
        """Take what has come; False when nobody can write any more."""
        data = os.read(self._descriptor, READ_BYTES)
        *whole, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST_LINE or not data:
            whole, self._rest = [*whole, self._rest], b""
        self.lines.extend(line.decode(errors="replace").rstrip("\r") for line in whole if line or data)
        return bool(data)

"""Source lines for the reports, read when a report is made and never while a stack is captured."""

from __future__ import annotations

import io
import os
import stat
import tokenize
from collections import OrderedDict
from typing import NamedTuple

LARGEST_FILE_BYTES = 2 * 1024 * 1024


class SourceLine(NamedTuple):
    number: int
    text: str  # without its line end


class _File(NamedTuple):
    key: tuple[int, int, int]  # inode, modification time in ns, size
    lines: tuple[str, ...]


class SourceCache:
    """Lines of source files. Keeps the last files that were asked for; a changed file is read again."""

    def __init__(self, capacity: int = 32) -> None:
        self._capacity = capacity
        self._files: OrderedDict[str, _File] = OrderedDict()

    def around(self, file: str, line: int, context: int = 2) -> list[SourceLine]:
        """The line and `context` lines on each side; nothing where the source cannot be read. Never raises."""
        lines = self._lines(file)
        if not 1 <= line <= len(lines):
            return []
        first = max(1, line - context)
        return [SourceLine(first + i, text) for i, text in enumerate(lines[first - 1 : line + context])]

    def line(self, file: str, line: int) -> str | None:
        """One line, stripped; None where it cannot be read. Never raises."""
        found = self.around(file, line, 0)
        return found[0].text.strip() if found else None

    def _lines(self, file: str) -> tuple[str, ...]:
        try:
            status = os.stat(file)
        except (OSError, ValueError):  # ValueError: a null byte in the name
            return ()
        key = (status.st_ino, status.st_mtime_ns, status.st_size)
        known = self._files.get(file)
        if known is None or known.key != key:
            # Only a regular file ends, and does not make its reader wait.
            regular = stat.S_ISREG(status.st_mode) and status.st_size <= LARGEST_FILE_BYTES
            known = self._files[file] = _File(key, _read(file) if regular else ())
        self._files.move_to_end(file)
        while len(self._files) > self._capacity:
            self._files.popitem(last=False)
        return known.lines


def _read(file: str) -> tuple[str, ...]:
    try:
        with open(file, "rb") as binary:
            content = binary.read(LARGEST_FILE_BYTES)
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        text = content.decode(encoding)
    except (OSError, SyntaxError, UnicodeError, LookupError):
        return ()
    # Not str.splitlines: it also parts lines at form feeds, where Python counts none.
    return tuple(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))

"""Lines of source files, for reports: read late, kept in bounded memory, never an error."""

from __future__ import annotations

import os
import stat
import tokenize
from collections import OrderedDict
from threading import Lock

MOST_FILES = 64
LARGEST_FILE_BYTES = 4 << 20


class SourceLines:
    """A cache of files by path and time of change; safe to use from several threads."""

    def __init__(self) -> None:
        self._files: OrderedDict[str, tuple[int, list[str]]] = OrderedDict()
        self._lock = Lock()

    def line(self, file: str, number: int) -> str | None:
        """One line (1-based) without its line end; None where it cannot be read."""
        lines = self.lines(file, number, number)
        return lines[0][1] if lines else None

    def lines(self, file: str, first: int, last: int) -> list[tuple[int, str]]:
        """The lines from `first` to `last` that exist, with their numbers."""
        known = self._read(file)
        return [(n, known[n - 1]) for n in range(max(1, first), min(last, len(known)) + 1)]

    def _read(self, file: str) -> list[str]:
        try:
            status = os.stat(file)
            changed_ns = status.st_mtime_ns
            with self._lock:
                known = self._files.get(file)
                if known is not None and known[0] == changed_ns:
                    self._files.move_to_end(file)
                    return known[1]
            # Only a regular file has an end, and does not make its reader wait.
            if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST_FILE_BYTES:
                return []
            with tokenize.open(file) as source:
                # Not str.splitlines: it also parts lines at form feeds, where Python counts none.
                lines = source.read(LARGEST_FILE_BYTES).split("\n")
        except (OSError, SyntaxError, UnicodeError, ValueError):
            return []
        with self._lock:
            self._files[file] = (changed_ns, lines)
            while len(self._files) > MOST_FILES:
                self._files.popitem(last=False)
        return lines

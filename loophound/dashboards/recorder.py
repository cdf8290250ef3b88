"""The record file: each stall and each flagged call as one JSON line, appended in one write."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from typing import Self

from loophound.detector.records import BlockingCall, Stall
from loophound.errors import ConfigError


class RecordFile:
    """Appends records to a file, which it opens at once.

    Raises ConfigError when the file cannot be written. A call raises OSError when the write
    fails (a full disk, a closed file); the next one tries again.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._fd = -1
        self._open()

    def _open(self) -> None:
        try:
            # O_APPEND: workers share the file, and each line goes to its end whole (write(2)).
            # O_NONBLOCK: a pipe that nobody reads must fail, not hold the thread that delivers.
            flags = os.O_RDWR if os.path.isfile(self.path) and os.access(self.path, os.R_OK) else os.O_WRONLY
            opened = os.open(self.path, flags | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o666)
        except (OSError, ValueError) as error:
            raise ConfigError(f"--record: cannot write {self.path!r}: {_advice(self.path, error)}") from None
        former, self._fd = self._fd, opened
        if former >= 0:
            os.close(former)
        self._mid_line = _ends_mid_line(self._fd)

    def _follow(self) -> None:
        """Somebody may have moved the file away, or removed it: what follows goes to a new one at its path."""
        here = os.fstat(self._fd)
        if not stat.S_ISREG(here.st_mode):
            return
        with contextlib.suppress(OSError):
            there = os.stat(self.path)
            if (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino):
                return
        with contextlib.suppress(ConfigError):  # else the old file takes it
            self._open()

    def __call__(self, record: Stall | BlockingCall) -> None:
        """Append one record."""
        if self._fd < 0:
            raise OSError(errno.EBADF, "the record file is closed", self.path)
        self._follow()
        line = json.dumps(record.to_dict()).encode() + b"\n"
        if self._mid_line:
            line = b"\n" + line
        written = os.write(self._fd, line)
        self._mid_line = written < len(line)
        if self._mid_line:
            raise OSError(errno.ENOSPC, "only part of a record could be written", self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _ends_mid_line(fd: int) -> bool:
    """Whether an earlier run was cut off in a record, by a full disk for example."""
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or not status.st_size:
        return False
    try:
        return os.pread(fd, 1, status.st_size - 1) != b"\n"
    except OSError:  # it may be written but not read: nothing to be known
        return False


def _advice(path: str, error: OSError | ValueError) -> str:
    directory = os.path.dirname(path) or "."
    if not path or isinstance(error, ValueError):
        return "that is not a file name"
    if isinstance(error, FileNotFoundError):
        return f"there is no directory {directory!r}; make it, or name a file in one that exists"
    if isinstance(error, IsADirectoryError):
        return f"it is a directory; name a file in it, such as {os.path.join(path, 'stalls.jsonl')!r}"
    if isinstance(error, NotADirectoryError):
        return f"{directory!r} is not a directory; name a file in a directory"
    if isinstance(error, PermissionError):
        return "permission denied; name a file that this user may write"
    if error.errno == errno.ENXIO:
        return "nobody reads this pipe; start its reader first, or name a file"
    return f"{(error.strerror or str(error)).lower()}; name a file that can be written"

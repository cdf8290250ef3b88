"""`--dashboard`: the dashboard in the server's own terminal, by a process that stands beside the server.

The server stays the process that the user has started: Ctrl-C, debuggers and exit codes are as ever.
What it writes goes through a pipe to the dashboard, which shows it below.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from pathlib import Path

from loophound.dashboards.feed import default_path
from loophound.dashboards.top.terminal import LEAVE
from loophound.observer.launch import detached, environment

PIPE_BYTES = 1 << 20  # the most that an unprivileged process may ask for by default (pipe(7))
NEARLY_FULL = PIPE_BYTES * 3 // 4
LOOK_S = 0.1
ENDING_S = 3.0  # to show the last words


@contextlib.contextmanager
def dashboard(feed: str | None) -> Iterator[None]:
    """Show what the feed of this process says, until the end. Without a terminal, one line says so.

    `feed` is the socket's path; None is the default place.
    """
    if not (sys.stdout.isatty() and sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"):
        print("loophound: no terminal here, so --dashboard shows nothing", file=sys.stderr)  # noqa: T201
        yield
        return
    beside = Beside(str(Path(feed).absolute() if feed is not None else default_path(os.getpid())))
    try:
        yield
    finally:
        beside.close()


class Beside:
    """The dashboard's process, as the server sees it: a pipe for the log, and a socket that ends with either."""

    def __init__(self, feed: str) -> None:
        self._attributes = termios.tcgetattr(sys.stdout.fileno())
        self._read, self._write = os.pipe()
        fcntl.fcntl(self._write, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._ours, theirs = socket.socketpair()
        with theirs:
            subprocess.run(
                detached("loophound.dashboards.top.beside", feed, str(self._read), str(theirs.fileno())),
                stdin=subprocess.DEVNULL,
                pass_fds=(self._read, theirs.fileno()),
                env=environment(),
                check=True,
            )
        self._saved = [os.dup(1), os.dup(2)]
        self._lock = threading.Lock()
        self._redirected = False
        self._closing = False
        self._dropped = 0
        self._redirect()
        self._guard = threading.Thread(target=self._run, name="loophound-dashboard", daemon=True)
        self._guard.start()

    def _redirect(self) -> None:
        _flush()
        os.dup2(self._write, 1)
        os.dup2(self._write, 2)
        os.close(self._write)
        self._redirected = True

    def _restore(self) -> None:
        """Standard output and error go to the terminal again."""
        with self._lock:
            if self._redirected:
                self._redirected = False
                _flush()
                for number, saved in zip((1, 2), self._saved, strict=True):
                    os.dup2(saved, number)

    def close(self) -> None:
        """Let the dashboard show the last words, and give the terminal back."""
        self._closing = True
        self._restore()
        self._ours.shutdown(socket.SHUT_WR)
        self._guard.join(ENDING_S)
        if self._dropped:
            told = f"loophound: {self._dropped} bytes of the log were not shown: the dashboard did not read\n"
            os.write(self._saved[1], told.encode())
        for descriptor in (self._read, *self._saved):
            os.close(descriptor)
        self._ours.close()

    def _run(self) -> None:
        """Until the dashboard's process has ended; should it not read any more, the server must not wait for it."""
        poller = select.poll()
        poller.register(self._ours, select.POLLIN)
        while not poller.poll(LOOK_S * 1000):
            self._make_room()
        if not self._closing:  # it was killed, or crashed: the server goes on, and the terminal is usable
            self._restore()
            with contextlib.suppress(OSError, termios.error):
                termios.tcsetattr(self._saved[0], termios.TCSADRAIN, self._attributes)
                os.write(self._saved[0], LEAVE.encode())
            self._pass_on()

    def _make_room(self) -> None:
        (waiting,) = struct.unpack("i", fcntl.ioctl(self._read, termios.FIONREAD, b"\0" * 4))
        if waiting > NEARLY_FULL:
            self._dropped += len(os.read(self._read, waiting))

    def _pass_on(self) -> None:
        """What the dashboard has not read."""
        os.set_blocking(self._read, False)
        with contextlib.suppress(OSError):
            while data := os.read(self._read, PIPE_BYTES):
                os.write(self._saved[1], data)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()

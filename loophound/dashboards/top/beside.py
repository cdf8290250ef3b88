"""The dashboard in the terminal of a server: a process of its own, so that nothing in the server's can stop it.

The server writes its log into a pipe, which is shown below. At the end, and after `q`, the log goes to
the terminal as ever.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Sequence

from loophound.dashboards.feed import FeedReader
from loophound.dashboards.top.app import Dashboard, run
from loophound.dashboards.top.board import Message
from loophound.dashboards.top.log import PipedLog
from loophound.dashboards.top.terminal import Ended, Terminal, first_environment, look_of

AGAIN_S = 0.1
LEFT_LINES = 40  # of the log, on the terminal when the dashboard has gone


class ComingFeed:
    """A feed that will be there in a moment: the server is just starting."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._reader: FeedReader | None = None

    @property
    def connected(self) -> bool:
        return self._reader is not None and self._reader.connected

    def fileno(self) -> int:
        return -1 if self._reader is None else self._reader.fileno()

    def read(self, timeout_s: float | None = None) -> Sequence[Message]:
        if self._reader is None:
            try:
                self._reader = FeedReader(self._path)
            except OSError:
                time.sleep(min(AGAIN_S, timeout_s or 0.0))
                return []
        return self._reader.read(timeout_s)


class ServerLog(PipedLog):
    """The log, which ends when the server lets go: what it started may hold the pipe for longer."""

    def __init__(self, descriptor: int, server: int) -> None:
        super().__init__(descriptor)
        self._server = server

    def read(self) -> bool:
        if not self._can_read(self.fileno()):
            return not self._can_read(self._server)
        return super().read()

    def _can_read(self, descriptor: int) -> bool:
        return bool(select.select([descriptor], (), (), 0)[0])


def main(arguments: Sequence[str]) -> int:
    """`FEED LOG SERVER`: the feed's path, the log's descriptor, and one that can be read when the server has ended."""
    path, log_descriptor, server = arguments[0], int(arguments[1]), int(arguments[2])
    # Ctrl-C is for the server. Its last words are still to be shown.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    look = look_of(first_environment())
    log = ServerLog(log_descriptor, server)
    try:
        with Terminal(sys.stdout, look, heeds_interrupt=False) as terminal:
            run(Dashboard(ComingFeed(path), look, log=log), terminal, log, [server])
    except Ended:
        return 0
    _leave_on_terminal(log, server)
    return 0


def _leave_on_terminal(log: PipedLog, server: int) -> None:
    """The latest lines, and all that follow, as if the log had always gone here."""
    shown = list(log.lines)[-LEFT_LINES:]
    log.lines.clear()
    _print(shown)
    while True:
        select.select([log.fileno(), server], (), ())
        going_on = log.read()
        _print(list(log.lines))
        log.lines.clear()
        if not going_on:
            return


def _print(lines: Sequence[str]) -> None:
    if lines:
        os.write(sys.stdout.fileno(), "".join(f"{line}\n" for line in lines).encode(errors="replace"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

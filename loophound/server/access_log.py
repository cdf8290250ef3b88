"""The access log: one line a request, written in batches.

Formatting through `logging` cost 17 µs a request, appending to a buffer costs 0.7. A
batch leaves every 20 ms and at the end. Writing must not block the loop: a pipe that
nobody reads is asked first (poll(2)), and takes at most PIPE_BUF bytes at a time, which
a writable pipe always has room for (pipe(7)).
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import sys
import time
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any

from loophound.addresses import written
from loophound.config import Config
from loophound.server.heads import status_text

if TYPE_CHECKING:
    from loophound.server.access_format import LineFormat
    from loophound.server.cycle import Cycle

logger = logging.getLogger("loophound.server")

INTERVAL_S = 0.020
PIECE_BYTES = select.PIPE_BUF
# Lines wait up to here while their reader does not read; further ones are counted and dropped.
BUFFER_BYTES = 4_194_304
LAST_WORDS_S = 1.0
REMEMBERED = 1024  # clients, of which the text is kept; then anew


class AccessLog:
    """Collects lines and hands them to `write`, which returns how many bytes it took."""

    __slots__ = ("_backlog", "_dropped", "_lines", "_loop", "_names", "_prefix", "_timer", "_write")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        write: Callable[[bytes], int],
        *,
        colors: bool = False,
        prefix: str | None = None,
    ) -> None:
        self._loop = loop
        self._write = write
        if prefix is None:
            prefix = "\x1b[32mINFO\x1b[0m:     " if colors else "INFO:     "
        self._prefix = prefix
        self._lines: list[str] = []
        self._names: dict[Any, str] = {}
        self._backlog = b""
        self._dropped = 0
        self._timer: asyncio.TimerHandle | None = None

    def record(self, cycle: Cycle) -> None:
        """Note a request that has been answered."""
        scope = cycle.scope
        # Of the scope, not of the connection: the client may be behind a proxy.
        client = scope.get("client")
        try:
            who = self._names.get(client) or self._learn(client)
        except TypeError:  # the application has put a list there
            who = client_text(client)
        took_ms = (cycle.ended_ns - cycle.began_ns) / 1e6
        self._lines.append(
            f'{self._prefix}{who} - "{scope["method"]} {cycle.target.decode("latin-1")} '
            f'HTTP/{scope["http_version"]}" {status_text(cycle.status)} {took_ms:.1f}ms\n'
        )
        if self._timer is None:
            self._timer = self._loop.call_later(INTERVAL_S, self._flush_and_wait)

    def _add(self, line: str) -> None:
        self._lines.append(line)
        if self._timer is None:
            self._timer = self._loop.call_later(INTERVAL_S, self._flush_and_wait)

    def _learn(self, client: Any) -> str:
        if len(self._names) >= REMEMBERED:
            self._names.clear()
        self._names[client] = text = client_text(client)
        return text

    def close(self) -> None:
        """Write what is left, for a second at most where nobody reads."""
        if self._timer is not None:
            self._timer.cancel()
        deadline_s = time.monotonic() + LAST_WORDS_S
        self.flush()
        while self._backlog and time.monotonic() < deadline_s:
            time.sleep(INTERVAL_S)
            self.flush()

    def _flush_and_wait(self) -> None:
        self._timer = None
        self.flush()
        if self._backlog:
            self._timer = self._loop.call_later(INTERVAL_S, self._flush_and_wait)

    def flush(self) -> None:
        """Write as much as is taken at once."""
        lines, self._lines = self._lines, []
        if len(self._backlog) > BUFFER_BYTES:
            self._dropped += len(lines)
        elif lines:
            # The target is ASCII (llhttp sees to it), a unix socket's path need not be.
            self._backlog += "".join(lines).encode("ascii", "backslashreplace")
        try:
            taken = self._write(self._backlog)
        except OSError as error:
            logger.warning("The access log ends: standard output cannot be written (%s)", error)
            self._write = len  # takes all, keeps nothing
            taken = len(self._backlog)
        self._backlog = self._backlog[taken:]
        if self._dropped and not self._backlog:
            logger.warning("%d lines of the access log were dropped: standard output was not read", self._dropped)
            self._dropped = 0


def client_text(client: Any) -> str:
    """A client as lines of the log name it."""
    if not isinstance(client, (tuple, list)) or len(client) != 2:
        return "unix" if client is None else f"{client}"
    host, port = client
    return written(f"{host}", port)


def _record_writer(access_logger: logging.Logger) -> Callable[[bytes], int]:
    """A function that makes a record of each line, for handlers of the user's own: slower by far."""

    def write(data: bytes) -> int:
        for line in data.decode("ascii").splitlines():
            access_logger.info("%s", line)
        return len(data)

    return write


def writer(stream: IO[str]) -> Callable[[bytes], int]:
    """A function that writes to `stream` what it takes without blocking."""
    try:
        fd = stream.fileno()
    except (OSError, ValueError, AttributeError):  # replaced by an object that is no file (io docs, fileno)
        return _text_writer(stream)
    return _descriptor_writer(fd)


def _text_writer(stream: IO[str]) -> Callable[[bytes], int]:
    def write(data: bytes) -> int:
        stream.write(data.decode("ascii"))
        return len(data)

    return write


def _descriptor_writer(fd: int) -> Callable[[bytes], int]:
    poll = select.poll()
    poll.register(fd, select.POLLOUT)

    def write(data: bytes) -> int:
        taken = 0
        try:
            while taken < len(data) and poll.poll(0):
                taken += os.write(fd, data[taken : taken + PIECE_BYTES])
        except BlockingIOError:
            pass
        return taken

    return write


class FormattedAccessLog(AccessLog):
    """The same with lines that `line_of` makes."""

    __slots__ = ("_line_of",)

    def __init__(
        self, loop: asyncio.AbstractEventLoop, write: Callable[[bytes], int], line_of: Callable[[Cycle], str]
    ) -> None:
        super().__init__(loop, write, prefix="")
        self._line_of = line_of

    def record(self, cycle: Cycle) -> None:
        try:
            line = self._line_of(cycle)
        except Exception as error:  # what the application has put into the scope must not fail its request
            line = f"({cycle.describe()}: no line could be made: {error})"
        self._add(line + "\n")


def line_format_of(config: Config, worker: int = 0) -> LineFormat | None:
    """What `--access-log-format` asks for, in the worker of that number. Raises ConfigError."""
    if config.access_log_format is None:
        return None
    from loophound.server.access_format import LineFormat

    return LineFormat(config.access_log_format, worker)


def access_log_of(
    loop: asyncio.AbstractEventLoop, config: Config, line_format: LineFormat | None = None, worker: int = 0
) -> AccessLog:
    """By the logger `loophound.access` where it has a handler of its own, else by standard output.

    `line_format` is that of `--access-log-format`. JSON names the `worker`, 0 stands for a process alone.
    """
    access_logger = logging.getLogger("loophound.access")
    own = bool(access_logger.handlers)
    write = _record_writer(access_logger) if own else writer(sys.stdout)
    if config.log_format == "json":
        from loophound.server.access_json import json_lines

        return FormattedAccessLog(loop, write, json_lines(line_format, worker))
    if line_format is not None:
        return FormattedAccessLog(loop, write, line_format)
    if own:
        return AccessLog(loop, write, prefix="")
    return AccessLog(loop, write, colors=sys.stdout.isatty() if config.use_colors is None else config.use_colors)

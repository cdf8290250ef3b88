"""SIGUSR1: files of logs are opened anew, after somebody has moved them away (logrotate(8))."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from loophound.errors import ConfigError
from loophound.server import logs

logger = logging.getLogger("loophound.server")


def open_anew(record: str | None) -> None:
    """The files of all logging handlers, and the record file.

    That one is opened by several processes, and each looks whether it is still there before it writes a record: it
    only has to be made, so that it is there when nothing has stalled since.
    """
    logs.reopen()
    if record is not None:
        from loophound.dashboards.recorder import RecordFile

        try:
            RecordFile(record).close()
        except ConfigError as problem:
            logger.warning("%s", problem)


@contextmanager
def reopened_by_signal(record: str | None) -> Iterator[None]:
    """Do so at SIGUSR1 meanwhile. Does nothing outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        open_anew(record)

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, signal.SIG_DFL if before is None else before)

"""`--log-format json`: each line of the log is one object, with the time in UTC.

Its keys are `at`, `level`, `logger` and `message`, and `exception` with the traceback where there is one; what
a line is about comes as further keys.
"""

from __future__ import annotations

import json
import logging
import time
from functools import lru_cache
from typing import Any


def timestamp(seconds: float) -> str:
    """`2026-11-22T04:30:14.032Z` for seconds since the epoch."""
    whole = int(seconds)
    return f"{_second(whole)}.{int((seconds - whole) * 1000):03d}Z"


@lru_cache(maxsize=4)  # many lines share a second
def _second(whole: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))


def line(level: str, logger: str, message: str, at_s: float | None = None, **further: Any) -> str:
    """One line, without its end; `at_s` is seconds since the epoch, the present when left out."""
    at = timestamp(time.time() if at_s is None else at_s)
    return json.dumps({"at": at, "level": level, "logger": logger, "message": message, **further})


class JsonFormatter(logging.Formatter):
    """Makes such a line of a log record; with the `worker`, where it is one of several."""

    def __init__(self, worker: int = 0) -> None:
        super().__init__()
        self._about = {"worker": worker} if worker else {}

    def format(self, record: logging.LogRecord) -> str:
        further: dict[str, Any] = dict(self._about)
        if record.exc_info:
            further["exception"] = self.formatException(record.exc_info)
        return line(record.levelname.lower(), record.name, record.getMessage(), record.created, **further)

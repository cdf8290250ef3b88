"""The log as a user of uvicorn knows it: `INFO:     message`, on standard error."""

from __future__ import annotations

import logging
import sys

_COLORS = {"DEBUG": "36", "INFO": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "91"}
_NAME_WIDTH = 10  # of the longest level's name, a colon and a space


class LevelFormatter(logging.Formatter):
    """Puts the level before the message, in colour where `colors` says so."""

    def __init__(self, *, colors: bool) -> None:
        super().__init__("%(message)s")
        self._colors = colors

    def formatMessage(self, record: logging.LogRecord) -> str:
        name = record.levelname
        padding = " " * (_NAME_WIDTH - len(name) - 1)
        if self._colors and name in _COLORS:
            name = f"\x1b[{_COLORS[name]}m{name}\x1b[0m"
        return f"{name}:{padding}{record.message}"


def configure(level: str, use_colors: bool | None = None) -> None:
    """Give the `loophound` logger a level, and a handler unless the program has given it one."""
    logger = logging.getLogger("loophound")
    logger.setLevel(level.upper())
    if not logger.hasHandlers():
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(LevelFormatter(colors=sys.stderr.isatty() if use_colors is None else use_colors))
        logger.addHandler(handler)
        logger.propagate = False

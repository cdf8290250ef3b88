"""The log as a user of uvicorn knows it: `INFO:     message`, on standard error."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

from loophound.config import Config
from loophound.errors import ConfigError

TRACE = 5  # uvicorn's, below logging.DEBUG
_COLORS = {"TRACE": "34", "DEBUG": "36", "INFO": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "91"}
_NAME_WIDTH = 10  # of the longest level's name, a colon and a space


class LevelFormatter(logging.Formatter):
    """Puts the level before the message, in colour where `colors` says so."""

    def __init__(self, *, colors: bool, worker: int = 0) -> None:
        super().__init__("%(message)s")
        self._colors = colors
        self._speaker = f"worker {worker}: " if worker else ""

    def formatMessage(self, record: logging.LogRecord) -> str:
        name = record.levelname
        padding = " " * (_NAME_WIDTH - len(name) - 1)
        if self._colors and name in _COLORS:
            name = f"\x1b[{_COLORS[name]}m{name}\x1b[0m"
        return f"{name}:{padding}{self._speaker}{record.message}"


def configure(config: Config, worker: int = 0) -> None:
    """Set up logging by the file of `--log-config` (or by what would be in it), else in the usual way.

    Then the `loophound` logger gets a level, and a handler unless it has one by now. Its lines name the
    `worker`, for several write to one stream; 0 stands for a process alone. Raises ConfigError.
    """
    logger = logging.getLogger("loophound")
    logging.addLevelName(TRACE, "TRACE")
    if config.log_config is not None:
        _configure_by(config.log_config)
    if config.log_config is None or logger.level == logging.NOTSET:  # else the file has said how much is told
        logger.setLevel(config.log_level.upper())
    ours = next((handler for handler in logger.handlers if getattr(handler, "loophounds_own", False)), None)
    if ours is not None and worker:  # of the process from which the worker was forked
        ours.setFormatter(_formatter(config, worker))
    if not logger.hasHandlers():
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_formatter(config, worker))
        handler.loophounds_own = True  # type: ignore[attr-defined]
        logger.addHandler(handler)
        logger.propagate = False


def _formatter(config: Config, worker: int) -> logging.Formatter:
    if config.log_format == "json":
        from loophound.json_lines import JsonFormatter  # text does without

        return JsonFormatter(worker)
    colors = sys.stderr.isatty() if config.use_colors is None else config.use_colors
    return LevelFormatter(colors=colors, worker=worker)


def reopen() -> None:
    """Open the files of all logging handlers anew, after somebody has moved them away (logrotate(8))."""
    for reference in list(logging._handlerList):  # type: ignore[attr-defined]
        handler = reference()
        if isinstance(handler, logging.FileHandler) and handler.stream is not None:
            handler.acquire()
            try:
                old, handler.stream = handler.stream, handler._open()
                old.close()
            finally:
                handler.release()


def _configure_by(file: str | dict[str, Any]) -> None:
    import configparser
    import logging.config  # these load socketserver and more, which a server without a file need not

    try:
        if isinstance(file, dict):
            logging.config.dictConfig(file)
        elif file.endswith((".json", ".yaml", ".yml")):
            logging.config.dictConfig(_read(Path(file)))
        else:
            with open(file):  # fileConfig() calls a missing file an empty one
                pass
            logging.config.fileConfig(file, disable_existing_loggers=False)
    except OSError as error:
        raise ConfigError(f"--log-config {file}: {error.strerror or error}") from None
    except (configparser.Error, ValueError, TypeError, AttributeError, ImportError, KeyError, RuntimeError) as error:
        # logging.config raises about anything for what it does not understand; 3.11.2 the parser's errors too.
        cause = f" ({error.__cause__})" if error.__cause__ else ""
        text = " ".join(f"{error}{cause}".split())  # some go over several lines
        raise ConfigError(f"--log-config {file if isinstance(file, str) else 'given'}: {text}") from None


def _read(file: Path) -> Any:
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".json":
        import json

        return json.loads(text)
    try:
        import yaml  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        raise ConfigError(f"--log-config {file}: YAML wants the package PyYAML; JSON and INI do without") from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--log-config {file}: {error}") from None

"""Logging set up by a file."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from loophound.config import Config
from loophound.errors import ConfigError
from loophound.server import logs
from loophound.server.access_log import access_log_of
from tests.server.fakes import FakeLoop
from tests.server.test_access_log import Line

NAMES = ("", "loophound", "loophound.access")


@pytest.fixture(autouse=True)
def loggers_as_before() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in NAMES]
    before = [(logger.level, logger.handlers[:], logger.propagate) for logger in loggers]
    loggers[1].handlers.clear()
    loggers[1].propagate = True
    loggers[1].setLevel(logging.NOTSET)
    yield
    for logger, (level, handlers, propagate) in zip(loggers, before, strict=True):
        for handler in logger.handlers:
            if handler not in handlers:
                handler.close()
        logger.setLevel(level)
        logger.handlers[:] = handlers
        logger.propagate = propagate


def settings(target: Path, **loggers: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"bare": {"format": "%(name)s %(levelname)s %(message)s"}},
        "handlers": {"file": {"class": "logging.FileHandler", "filename": str(target), "formatter": "bare"}},
        "loggers": {f"loophound{name}": value for name, value in loggers.items()},
    }


def test_a_json_file(tmp_path: Path) -> None:
    file = tmp_path / "log.json"
    target = tmp_path / "out"
    file.write_text(json.dumps(settings(target, **{"": {"handlers": ["file"], "propagate": False}})))
    logs.configure(Config("a:a", log_level="warning", log_config=str(file)))
    logging.getLogger("loophound.server").info("not told")
    logging.getLogger("loophound.server").warning("told")
    assert target.read_text() == "loophound.server WARNING told\n"


def test_the_level_of_the_file_counts(tmp_path: Path) -> None:
    target = tmp_path / "out"
    given = {"handlers": ["file"], "level": "DEBUG", "propagate": False}
    logs.configure(Config("a:a", log_level="info", log_config=settings(target, **{"": given})))
    logging.getLogger("loophound.server").debug("told")
    assert "told" in target.read_text()


def test_an_ini_file(tmp_path: Path) -> None:
    file = tmp_path / "log.ini"
    target = tmp_path / "out"
    file.write_text(
        "[loggers]\nkeys=root,l\n[handlers]\nkeys=h\n[formatters]\nkeys=\n[logger_root]\nhandlers=\n"
        "[logger_l]\nqualname=loophound\nhandlers=h\nlevel=INFO\npropagate=0\n"
        f"[handler_h]\nclass=FileHandler\nargs=({str(target)!r},)\n"
    )
    logs.configure(Config("a:a", log_level="info", log_config=str(file)))
    logging.getLogger("loophound.server").info("told")
    assert target.read_text() == "told\n"


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("none.json", None, "No such file"),
        ("none.ini", None, "No such file"),
        ("a.json", "{", "Expecting property name"),
        ("b.json", "[]", "."),
        ("c.json", '{"version": 1, "handlers": {"h": {"class": "no.such"}}}', "Unable to configure handler 'h'"),
        ("d.ini", "[loggers]\nkeys=root\n", "."),
        ("e.ini", "nonsense", "."),
    ],
)
def test_mistakes_are_told(name: str, text: str | None, why: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=rf"--log-config .*{name}: .*{why}"):
        logs.configure(Config("a:a", log_level="info", log_config=str(tmp_path / name)))


def test_yaml_wants_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "log.yaml"
    target = tmp_path / "out"
    file.write_text(json.dumps(settings(target, **{"": {"handlers": ["file"], "propagate": False}})))
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(ConfigError, match="YAML wants the package PyYAML"):
        logs.configure(Config("a:a", log_level="info", log_config=str(file)))
    # JSON is YAML too.
    monkeypatch.setitem(sys.modules, "yaml", SimpleNamespace(safe_load=json.loads, YAMLError=ValueError))
    logs.configure(Config("a:a", log_level="info", log_config=str(file)))
    logging.getLogger("loophound").info("told")
    assert target.read_text() == "loophound INFO told\n"


def test_the_access_log_by_a_handler_of_its_own(tmp_path: Path) -> None:
    target = tmp_path / "out"
    given = {"handlers": ["file"], "level": "INFO", "propagate": False}
    logs.configure(Config("a:a", log_level="info", log_config=settings(target, **{".access": given})))
    log = access_log_of(FakeLoop(), Config("a:a"))  # type: ignore[arg-type]
    log.record(Line(b"/%s"))  # type: ignore[arg-type]
    log.record(Line())  # type: ignore[arg-type]
    log.close()
    lines = target.read_text().splitlines()
    assert lines[0] == 'loophound.access INFO 127.0.0.1:5000 - "GET /%s HTTP/1.1" 200 OK 1.2ms'
    assert len(lines) == 2

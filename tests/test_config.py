from __future__ import annotations

import logging
import math
import os
import ssl
from pathlib import Path
from typing import Any

import pytest

from loophound import config
from loophound.config import Config, from_env, parse
from loophound.errors import ConfigError


def test_defaults_hold_against_their_own_limits() -> None:
    settings = Config(app="app:app")
    assert (settings.host, settings.port, settings.detect_blocking) == ("127.0.0.1", 8000, None)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("port", "0", 0),
        ("port", "65535", 65535),
        ("loop", "uvloop", "uvloop"),
        ("access_log", "OFF", False),
        ("factory", "1", True),
        ("timeout_keep_alive", "2.5", 2.5),
        ("timeout_graceful_shutdown", "none", None),
        ("detect_blocking", "50", 50.0),
        ("detect_blocking", "none", None),
        ("record", "none", "none"),
        ("host", "::", "::"),
        ("log_level", "INFO", "info"),
        ("log_level", "5", "trace"),
        ("loop", "none", "asyncio"),
        ("loop", "my.loops:make", "my.loops:make"),
        ("http", "h11", "auto"),
        ("http", "httptools", "auto"),
        ("ws", "websockets-sansio", "auto"),
        ("ws", "wsproto", "auto"),
        ("ws", "none", "none"),
        ("bind", "[::]:80\nunix:/s", ("[::]:80", "unix:/s")),
    ],
)
def test_text_is_read(name: str, text: str, value: object) -> None:
    read = parse(name, text)
    assert read == value
    assert type(read) is type(value)


BAD = [
    ("port", "65536"), ("port", "-1"), ("port", "80.0"), ("port", "http"), ("port", "none"), ("port", ""),
    ("backlog", "0"), ("loop", "trio"), ("log_level", "warn"), ("access_log", "perhaps"),
    ("timeout_keep_alive", "-0.1"), ("timeout_keep_alive", "nan"), ("timeout_keep_alive", "inf"),
    ("detect_blocking", "0"), ("detect_blocking", "-5"), ("detect_blocking", "nan"),
    ("detect_blocking", "inf"), ("detect_blocking", "1e999"), ("detect_blocking", "fast"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text"), BAD)
def test_bad_text_is_told_with_what_would_be_right(name: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(name, text)
    message = str(caught.value)
    assert message.startswith(f"{config.flag_of(name)} takes {config.wanted(name)}")
    assert "; got " in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "80"), ("port", True), ("port", 8000.0), ("port", None), ("port", -1), ("host", 1),
        ("forwarded_fields", None),
        ("access_log", 1), ("access_log", "on"), ("loop", "trio"), ("detect_blocking", 0), ("detect_blocking", True),
        ("detect_blocking", math.nan), ("detect_blocking", math.inf), ("detect_blocking", "100"),
    ],
)  # fmt: skip
def test_bad_values_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"{config.flag_of(name)} takes"):
        Config(app="app:app", **{name: value})


def test_record_wants_the_detector() -> None:
    with pytest.raises(ConfigError, match="add --detect-blocking, or a --hang-watch"):
        Config(app="app:app", record="f", hang_watch=None)
    Config(app="app:app", record="f", hang_watch=None, detect_blocking="calls")
    Config(app="app:app", record="f")  # the hang watch finds something, too


def test_the_ledger_wants_the_detector() -> None:
    for blind in (None, "calls"):
        with pytest.raises(ConfigError, match="add --detect-blocking, or a --hang-watch"):
            Config(app="app:app", ledger="auto", hang_watch=None, detect_blocking=blind)
    Config(app="app:app", ledger="auto", hang_watch=None, metrics="1")
    Config(app="app:app", ledger="auto")


def test_headers_as_pairs() -> None:
    assert Config(app="a:a", headers=[("x-a", "b"), "X-C: d"]).headers == ("x-a: b", "X-C: d")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="--header takes NAME:VALUE"):
        Config(app="a:a", headers="X-A: b")  # type: ignore[arg-type]


def test_one_place_to_listen() -> None:
    with pytest.raises(ConfigError, match="--fd and --uds"):
        Config(app="a:a", fd=3, uds="/s")
    with pytest.raises(ConfigError, match="--bind and --port both"):
        Config("a:a", bind=("unix:/s",), port=81)
    with pytest.raises(ConfigError, match=r"--bind takes HOST:PORT, .*; got 'a:b'"):
        Config("a:a", bind=("a:b",))


def test_words_that_python_programs_use(tmp_path: Path) -> None:
    settings = Config(
        "a:a", host=None, log_level=logging.WARNING, forwarded_allow_ips=["10.0.0.1", "::1"],  # type: ignore[arg-type]
        headers=[["x-a", "b"]], ssl_certfile=tmp_path / "c", ssl_version=ssl.PROTOCOL_TLS_SERVER,  # type: ignore[arg-type]
        ssl_cert_reqs=ssl.CERT_NONE,  # type: ignore[arg-type]
    )  # fmt: skip
    assert (settings.host, settings.log_level, settings.forwarded_allow_ips) == (None, "warning", "10.0.0.1,::1")
    assert (settings.headers, settings.ssl_certfile) == (("x-a: b",), str(tmp_path / "c"))
    assert (settings.ssl_version, settings.ssl_cert_reqs) == ("1.2", "none")
    assert Config("a:a", bind=["a:1"]).bind == ("a:1",)  # type: ignore[arg-type]


def test_variables_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "env").write_text("DATABASE=x\nHOME=/nowhere")
    monkeypatch.setattr(os, "environ", {"HOME": "/root"})
    Config("a:a", env_file=tmp_path / "env")
    assert os.environ == {"HOME": "/root", "DATABASE": "x"}


def test_environment() -> None:
    environ = {"LOOPHOUND_PORT": "81", "LOOPHOUND_FACTORY": "yes", "LOOPHOUND_HOST": "", "PORT": "1"}
    assert from_env(environ) == {"port": 81, "factory": True}
    assert from_env(environ, ["host", "factory"]) == {"factory": True}


def test_the_environment_of_uvicorn_counts_where_ours_is_not_set() -> None:
    environ = {"UVICORN_PORT": "80", "UVICORN_ROOT_PATH": "/x", "LOOPHOUND_ROOT_PATH": "/y"}
    assert from_env(environ) == {"port": 80, "root_path": "/y"}
    with pytest.raises(ConfigError, match=r"^UVICORN_PORT takes"):
        from_env({"UVICORN_PORT": "x"})


def test_environment_is_named_in_its_errors() -> None:
    with pytest.raises(
        ConfigError, match=r"^LOOPHOUND_PORT takes a whole number from 0 to 65535, such as 8000; got 'x'"
    ):
        from_env({"LOOPHOUND_PORT": "x"})


@pytest.mark.parametrize("name", [name for name, _ in config.options()])
def test_every_option_is_described(name: str) -> None:
    spec, kind, _ = config.table()[name]
    assert spec.help.endswith(".")
    assert spec.metavar or kind.choices or kind.type is bool

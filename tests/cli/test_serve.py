"""The options of serve, on their way to Config, Server and Detector."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import Any

import pytest

import loophound.server
import loophound.supervisor.supervisor
from loophound.calls.hooks import CallHooks
from loophound.cli import main
from loophound.config import Config, flag_of, options, table
from loophound.errors import ConfigError, StartupError
from loophound.hang_watch import HangWatch


class FakeServer:
    made: tuple[Config, Any]
    fails = False

    def __init__(self, config: Config, hooks: Any = None, seat: Any = None) -> None:
        FakeServer.made = (config, hooks)

    def run(self, sockets: Any = None) -> None:
        events.append("run")
        if FakeServer.fails:
            raise StartupError("port 80 is taken")


class FakeDetector:
    hooks = object()
    stalls = 0
    unused_allowances: tuple[Any, ...] = ()

    def __init__(self, threshold: float, *, record: str | None, faces: list[Any], **_: Any) -> None:
        if record == "bad":
            raise ConfigError("cannot write 'bad'")
        events.append(f"threshold {threshold} record {record} faces {len(faces)}")

    def start(self) -> None:
        events.append("start")

    def stop(self) -> None:
        events.append("stop")

    def snapshots(self) -> list[Any]:
        return []

    def show_call(self, call: Any) -> None: ...


events: list[str] = []


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    events.clear()
    monkeypatch.chdir(tmp_path)  # the ledger is a real one
    monkeypatch.setattr(loophound.server, "Server", FakeServer)
    monkeypatch.setattr(FakeServer, "fails", False)
    monkeypatch.setattr(loophound.supervisor.supervisor, "supervise", lambda config: FakeServer(config).run())
    module = types.ModuleType("loophound.detector.detector")
    module.Detector = FakeDetector  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for name in [name for name in os.environ if name.startswith(("LOOPHOUND_", "UVICORN_"))]:
        monkeypatch.delenv(name)


# Options that mean nothing by themselves, and with which others they do.
TLS = ("--ssl-certfile=c", "--ssl-ca-certs=a")
COMPANIONS = {
    "stall_limit": ("--detect-blocking",),
    "record": ("--detect-blocking",),
    "ledger": ("--detect-blocking",),
    **dict.fromkeys(("reuse_port", "preload", "max_worker_memory"), ("--workers=2",)),
    **dict.fromkeys(("reload_dirs", "reload_includes", "reload_excludes"), ("--reload",)),
    **{f"ssl_{name}": TLS for name in ("keyfile", "keyfile_password", "ca_certs", "ciphers", "cert_reqs")},
}
# What no rule can make up.
SAMPLES = {"headers": "X-A: b", "bind": "unix:/s"}
# What starts more than the fakes stand for; tests of their own have them.
REAL = {"console", "metrics"}


def served(*words: str) -> Config:
    assert main(["serve", *words]) == 0
    return FakeServer.made[0]


def test_defaults() -> None:
    assert served("app:app") == Config(app="app:app")
    assert isinstance(FakeServer.made[1], HangWatch)
    assert served("app:app", "--hang-watch=off").hang_watch is None
    assert FakeServer.made[1] is None
    assert events == ["run", "run"]


def other_value(name: str) -> tuple[str, Any]:
    """Words of the command line for a value that is not the default, and the value."""
    spec, kind, default = table()[name]
    flag = flag_of(name)
    if kind.type is bool:
        return (f"--no-{flag[2:]}", False) if default is not False else (flag, True)
    if kind.choices:
        value: Any = next(choice for choice in kind.choices[::-1] if choice != default or len(kind.choices) == 1)
    elif kind.type in (int, float):
        value = kind.type((spec.minimum or spec.above or 0) + 7)
    else:
        value = SAMPLES.get(name, "text")
    return f"{flag}={value}", (value,) if kind.type is tuple else value


@pytest.mark.parametrize("name", [name for name, _ in options() if name not in REAL])
def test_every_option_reaches_config(name: str) -> None:
    word, value = other_value(name)
    assert getattr(served(*COMPANIONS.get(name, ()), word, "app:app"), name) == value


def test_uvicorns_name_for_the_time_of_a_worker() -> None:
    assert served("--timeout-worker-healthcheck=6", "app:app").timeout_worker == 6


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--workers=2", "--reload"), "--reload runs one worker, for development: leave out --workers"),
        (("--workers=0",), "--workers takes a whole number from 1 to 512"),
        (("--preload",), "--preload is for workers: add --workers"),
        (("--reuse-port",), "--reuse-port is for workers: add --workers"),
        (("--reuse-port", "--workers=2", "--uds=s"), "--reuse-port is for TCP ports"),
        (("--max-worker-memory=9",), "--max-worker-memory is for workers: add --workers"),
        (("--reload-dir=a",), "--reload-dir is for --reload: add it"),
    ],
)
def test_options_that_do_not_go_together(
    words: tuple[str, ...], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "a:a", *words]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"loophound: {problem}")


@pytest.mark.parametrize("options", [{"workers": 2}, {"reload": True}])
def test_workers_want_an_import_string(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r'give it as text, such as run\("main:app", (workers=2|reload=True)\)'):
        loophound.run(lambda *_: None, **options)


def test_headers_in_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOPHOUND_HEADERS", "X-A: 1\nX-B: 2")
    assert served("a:a").headers == ("X-A: 1", "X-B: 2")
    assert served("a:a", "--header", "X-C: 3", "--header=X-D:4").headers == ("X-C: 3", "X-D:4")
    assert served("a:a", "--fd=3").fd == 3


def test_addresses_in_number() -> None:
    assert served("a:a", "--bind", ":80", "--bind=unix:/s").bind == (":80", "unix:/s")


def test_a_place_to_listen_wins_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.loophound.server]\nbind = [':80']")
    assert served("a:a").bind == (":80",)
    assert (served("a:a", "--port=81").bind, served("a:a", "--port=81").port) == ((), 81)
    monkeypatch.setenv("LOOPHOUND_PORT", "82")
    assert (served("a:a").bind, served("a:a").port) == ((), 82)
    assert (served("a:a", "--uds=/s").uds, served("a:a", "--uds=/s").port) == ("/s", 8000)
    assert served("a:a", "--bind=unix:/s").bind == ("unix:/s",)


def test_flags_may_have_a_value() -> None:
    settings = served("--ws-per-message-deflate", "false", "--access-log=FALSE", "--factory", "true", "a:a")
    assert (settings.ws_per_message_deflate, settings.access_log, settings.factory) == (False, False, True)
    assert served("--ws-per-message-deflate", "true", "a:a").ws_per_message_deflate
    assert (served("--factory", "a:a").app, served("a:a", "--factory").factory) == ("a:a", True)


def test_a_flag_with_another_value_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--access-log=perhaps", "a:a"]) == 2
    assert capsys.readouterr().err == "loophound: --access-log takes true or false; got 'perhaps'\n"


@pytest.mark.parametrize("prefix", ["LOOPHOUND", "UVICORN"])
def test_the_application_from_the_environment(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{prefix}_APP", "shop:app")
    assert served().app == "shop:app"
    assert served("a:a").app == "a:a"


@pytest.mark.parametrize("words", [["--detect-blocking", "app:app"], ["app:app", "--detect-blocking"]])
def test_the_flag_alone_means_100_ms_and_leaves_the_application(words: list[str]) -> None:
    settings = served(*words)
    assert (settings.app, settings.detect_blocking) == ("app:app", 100)


def test_the_detector_runs_around_the_server() -> None:
    served("--detect-blocking=stalls", "--record", "f", "app:app")
    assert FakeServer.made[1] is FakeDetector.hooks
    assert events == ["threshold 0.1 record f faces 1", "start", "run", "stop"]


def test_calls_are_flagged_around_the_server_too() -> None:
    served("--detect-blocking=250", "--record", "f", "app:app")
    assert isinstance(FakeServer.made[1], CallHooks)
    assert events == ["threshold 0.25 record f faces 1", "start", "run", "stop"]
    events.clear()
    served("--detect-blocking=calls", "app:app")
    assert isinstance(FakeServer.made[1], CallHooks)
    assert events == ["run"]
    assert isinstance(time.sleep, types.BuiltinFunctionType)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--detect-blocking=both"], "a number of milliseconds above 0 or stalls or calls"),
        (["--detect-blocking", "calls"], "takes its value after an equals sign: --detect-blocking=calls"),
        (["--detect-blocking=calls", "--hang-watch=off", "--ledger=l"], "--ledger keeps the stalls that are found"),
        (["--detect-blocking=calls", "--hang-watch=off", "--web-dashboard"], "--web-dashboard shows the loops"),
    ],
)
def test_what_detection_takes(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", *words, "app:app"]) == 2
    assert told in capsys.readouterr().err


def test_the_ledger_is_a_face_and_its_flag_alone_leaves_the_application(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert served("--detect-blocking", "--ledger", "app:app").ledger == "auto"
    assert events[0] == "threshold 0.1 record None faces 2"
    assert len(list(tmp_path.glob("loophound/*.db"))) == 1


def test_a_ledger_without_a_directory_starts_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--detect-blocking", "--ledger=/absent/l.db", "app:app"]) == 2
    assert events == []
    assert capsys.readouterr().err.startswith("loophound: --ledger: there is no directory '/absent'")


def test_the_detector_stops_when_the_server_cannot_start(capsys: pytest.CaptureFixture[str]) -> None:
    FakeServer.fails = True
    assert main(["serve", "--detect-blocking", "app:app"]) == 3
    assert events[1:] == ["start", "run", "stop"]
    assert capsys.readouterr().err == "loophound: port 80 is taken\n"


def test_an_unwritable_record_starts_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--detect-blocking", "--record=bad", "app:app"]) == 2
    assert events == []
    assert capsys.readouterr().err == "loophound: cannot write 'bad'\n"


def test_command_line_over_environment_over_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOPHOUND_PORT", "81")
    monkeypatch.setenv("LOOPHOUND_ACCESS_LOG", "off")
    monkeypatch.setenv("LOOPHOUND_DETECT_BLOCKING", "70")
    assert (served("a:a").port, served("a:a").access_log, served("a:a").detect_blocking) == (81, False, 70)
    settings = served("a:a", "--port=82", "--access-log", "--detect-blocking=none")
    assert (settings.port, settings.access_log, settings.detect_blocking) == (82, True, None)


def test_environment_over_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[tool.loophound.server]\nport = 80\nbacklog = 7\nheader = ['A: b']")
    settings = served("a:a")
    assert (settings.port, settings.backlog, settings.headers) == (80, 7, ("A: b",))
    monkeypatch.setenv("LOOPHOUND_PORT", "81")
    settings = served("a:a", "--backlog=8")
    assert (settings.port, settings.backlog) == (81, 8)
    (tmp_path / "own.toml").write_text("backlog = 9")
    settings = served("a:a", "--config", "own.toml")
    assert (settings.port, settings.backlog) == (81, 9)


def test_a_mistake_in_the_file_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.toml").write_text("prot = 9")
    assert main(["serve", "a:a", "--config=own.toml"]) == 2
    assert capsys.readouterr().err == "loophound: own.toml: has no key 'prot': did you mean 'port'?\n"


def test_env_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "env").write_text("LOOPHOUND_PORT=82\nLOOPHOUND_BACKLOG=83\nDATABASE=x")
    monkeypatch.setattr(os, "environ", {"LOOPHOUND_BACKLOG": "84"})
    settings = served("a:a", "--env-file", str(tmp_path / "env"))
    assert (settings.port, settings.backlog, os.environ["DATABASE"]) == (82, 84, "x")


def test_a_bad_variable_does_not_matter_where_the_flag_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOPHOUND_PORT", "x")
    assert served("a:a", "--port=82").port == 82
    assert main(["serve", "a:a"]) == 2


@pytest.mark.parametrize(
    "word",
    ["--detect-blocking=0", "--detect-blocking=-1", "--detect-blocking=nan", "--detect-blocking=inf",
     "--detect-blocking=x", "--detect-blocking=", "--port=http", "--port=70000", "--loop=trio"],
)  # fmt: skip
def test_bad_values_are_one_line(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "a:a", word]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"loophound: {word.partition('=')[0]} takes ")
    assert err.count("\n") == 1


def test_without_detection_and_hang_watch_the_detector_is_not_even_imported() -> None:
    code = (
        "import sys, loophound.server\n"
        "class Server:\n"
        "    def __init__(self, *_, **__): pass\n"
        "    def run(self, *_): print(*sys.modules)\n"
        "loophound.server.Server = Server\n"
        "from loophound.cli import main\n"
        "sys.exit(main(['serve', 'a:a', '--hang-watch=off']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = done.stdout.split()
    assert "loophound.cli.serve" in modules
    assert not [name for name in modules if name.startswith(("loophound.detector.", "loophound.observer", "rich"))]

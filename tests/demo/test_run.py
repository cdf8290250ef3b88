from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from loophound.cli import demo as demo_command
from loophound.demo import process, run
from loophound.demo.process import free_port, serving
from loophound.demo.run import read_stalls, require_extra
from loophound.errors import ConfigError, LoophoundError
from tests.demo.records import record

LISTEN = "import socket, sys, time; server = socket.create_server(('127.0.0.1', int(sys.argv[1]))); time.sleep(60)"


def child(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Let `code` stand in for the server; its argument is the port."""
    monkeypatch.setattr(process, "serve_command", lambda record, port: [sys.executable, "-c", code, str(port)])


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The processes that the code under test has started."""
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def start(command: list[str], env: dict[str, str]) -> subprocess.Popen[bytes]:
        started.append(popen(command, env=env))
        return started[-1]

    monkeypatch.setattr(process.subprocess, "Popen", start)
    return started


def test_records_are_read_back(tmp_path: Path) -> None:
    file = tmp_path / "stalls.jsonl"
    file.write_text("".join(json.dumps(record(name)) + "\n" for name in ("sleep", "lock")))
    assert [stall.cause.value for stall in read_stalls(file)] == ["sleep", "lock"]


def test_a_run_without_a_record_has_no_stalls(tmp_path: Path) -> None:
    assert list(read_stalls(tmp_path / "absent")) == []


def test_a_missing_extra_is_told_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match='pip install "loophound\\[demo\\]"') as caught:
        require_extra()
    assert caught.value.exit_code == 2


def test_the_command_asks_for_the_extra_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run.importlib.util, "find_spec", lambda name: None)
    result = CliRunner().invoke(demo_command.command, [])
    assert isinstance(result.exception, ConfigError)


def test_a_run_too_short_to_keep_the_calls_apart_is_refused() -> None:
    result = CliRunner().invoke(demo_command.command, ["--seconds", "1"])
    assert result.exit_code == 2
    assert "--seconds" in result.output


def test_a_server_that_ends_at_its_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    child(monkeypatch, "raise SystemExit(3)")
    with pytest.raises(LoophoundError, match="exit code 3"), serving(tmp_path / "r", free_port()):
        pass


def test_options_in_the_environment_are_not_for_the_demo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LOOPHOUND_UDS", "/run/shop.sock")
    child(monkeypatch, "import os; raise SystemExit(4 if 'LOOPHOUND_UDS' in os.environ else 5)")
    with pytest.raises(LoophoundError, match="exit code 5"), serving(tmp_path / "r", free_port()):
        pass


def test_a_server_that_never_accepts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, children: list[subprocess.Popen[bytes]]
) -> None:
    child(monkeypatch, "import time; time.sleep(60)")
    monkeypatch.setattr(process, "STARTUP_S", 0.2)
    with (
        pytest.raises(LoophoundError, match=r"did not start within 0\.2 seconds"),
        serving(tmp_path / "r", free_port()),
    ):
        pass
    assert children[0].poll() is not None


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_no_server_is_left_behind(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    children: list[subprocess.Popen[bytes]],
    error: type[BaseException],
) -> None:
    child(monkeypatch, LISTEN)

    def interrupted_run() -> None:
        with serving(tmp_path / "r", free_port()):
            assert children[0].poll() is None
            raise error

    with pytest.raises(error):
        interrupted_run()
    assert children[0].poll() is not None


def test_terminate_ends_the_server_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, children: list[subprocess.Popen[bytes]]
) -> None:
    child(monkeypatch, LISTEN)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as caught, serving(tmp_path / "r", free_port()):
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.code == 128 + signal.SIGTERM
    assert children[0].poll() is not None
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_server_that_ignores_terminate_is_killed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, children: list[subprocess.Popen[bytes]]
) -> None:
    child(monkeypatch, "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + LISTEN)
    monkeypatch.setattr(process, "SHUTDOWN_S", 0.1)
    with pytest.raises(LoophoundError, match="did not stop"), serving(tmp_path / "r", free_port()):
        pass
    assert children[0].returncode == -signal.SIGKILL

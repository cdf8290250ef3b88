"""What is found out about a hung worker, with the observer's answers made up."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from loophound.config import Config
from loophound.detector.records import Stall
from loophound.supervisor.examine import Examiner
from loophound.supervisor.vigil import Condition
from tests.stalls import stall


class Worker:
    """A process that is none."""

    worker, pid, who, introduction, since_s = 1, 71, "Worker 1 (pid 71)", None, 0.0

    def __init__(self) -> None:
        self.pulse = self
        self.turned_ns = 1


class Observer:
    """Answers with these stalls, and a stack in this file."""

    def __init__(self, *stalls: dict[str, Any], file: str = "app.py") -> None:
        frame = {"file": file, "line": 3, "function": "wait"}
        thread = {"name": "MainThread", "kernel_state": "S", "syscall": "futex", "stack": [frame]}
        self.answer = {"stalls": list(stalls), "threads": [thread]}

    def diagnose(self, pid: int, timeout_s: float, *, by_proxy: bool = False) -> dict[str, Any]:
        return self.answer

    def close(self) -> None:
        """Nothing is open."""


def examine(observer: Observer, **options: Any) -> bool:
    examiner = Examiner(Config(app="a:a", workers=1, hang_watch=None, **options))
    examiner._observer = observer  # type: ignore[assignment]
    try:
        return examiner.examine(Worker(), Condition.HUNG, 30.6)  # type: ignore[arg-type]
    finally:
        examiner.close()


def test_the_record_is_written_and_closed(tmp_path: Path) -> None:
    assert not examine(Observer(stall(ongoing=True).to_dict()), record=str(tmp_path / "r"), detect_blocking="calls")
    [line] = (tmp_path / "r").read_text().splitlines()
    assert Stall.from_dict(json.loads(line)) == stall(ongoing=False)


def test_without_a_stall_the_threads_are_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        assert not examine(Observer())
    assert "hangs: its event loop has not turned for 30.6 s" in caplog.text
    assert "thread MainThread (state S, in futex): app.py:3 in wait" in caplog.text


def test_a_debugger_excuses(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        assert examine(Observer(file="/usr/lib/python3.11/pdb.py"))
    assert caplog.text == ""


def test_one_that_has_ended_meanwhile_does_not_hang(caplog: pytest.LogCaptureFixture, monkeypatch: Any) -> None:
    monkeypatch.setattr("loophound.supervisor.kernel.state", lambda pid: "Z")
    with caplog.at_level("ERROR", "loophound.supervisor"):
        assert examine(Observer())
    assert not caplog.records


def test_what_cannot_be_written_does_not_end_the_supervisor(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = stall(ongoing=True).to_dict()
    with caplog.at_level(logging.WARNING):
        assert not examine(Observer(found), record=str(tmp_path / "gone" / "r"), detect_blocking="calls")
        assert not examine(Observer(found), record="/dev/full", detect_blocking="calls")
    assert "--record: cannot write" in caplog.text
    assert "its stall could not be told" in caplog.text

"""A process that is killed in a stall: the observer, which lives a moment longer, tells of it."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from loophound.ledger import store

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the observer needs /proc")

PROGRAM = """
import asyncio, os, signal, sys, threading, time
from loophound.detector.detector import Detector

async def main():
    await asyncio.sleep(0.2)
    threading.Timer(0.4, lambda: {end}).start()
    {work}

with Detector(0.1, record=sys.argv[1], ledger=sys.argv[2]) as detector:
    assert detector.wait_for_observer(), detector.observer_problem
    asyncio.run(main())
"""
KILL = "os.kill(os.getpid(), signal.SIGKILL)"
PATIENCE_S = 10.0


def run(tmp_path: Path, *, end: str, work: str) -> int:
    store.prepare(tmp_path / "ledger.db", time.time(), store.Limits())
    command = [sys.executable, "-c", PROGRAM.format(end=end, work=work)]
    return subprocess.run(
        [*command, str(tmp_path / "stalls.jsonl"), str(tmp_path / "ledger.db")], timeout=60
    ).returncode


def records(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "stalls.jsonl").read_text().splitlines()]


def kept(tmp_path: Path) -> int:
    with contextlib.closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
        return int(db.execute("SELECT count(*) FROM grouped").fetchone()[0])


def test_a_stall_in_which_the_process_is_killed_is_in_the_record_and_in_the_ledger(tmp_path: Path) -> None:
    assert run(tmp_path, end=KILL, work="time.sleep(30)") == -signal.SIGKILL
    deadline_s = time.monotonic() + PATIENCE_S
    while not kept(tmp_path) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    [stall] = records(tmp_path)
    assert (stall["cause"], stall["ongoing"], stall["evidence"]["interrupted"]) == ("sleep", False, "ended")
    assert stall["culprit"]["function"] == "main"
    assert stall["duration_s"] >= 0.1
    assert kept(tmp_path) == 1


def test_a_process_that_is_killed_while_its_loop_turns_ended_in_no_stall(tmp_path: Path) -> None:
    assert run(tmp_path, end=KILL, work="await asyncio.sleep(30)") == -signal.SIGKILL
    time.sleep(0.3)
    assert records(tmp_path) == []
    assert kept(tmp_path) == 0


SHORT_OF_IT = """
import asyncio, ctypes, sys
from loophound.detector.detector import Detector

async def main():
    await asyncio.sleep(0.5)
    ctypes.PyDLL(None).usleep(2_500_000)  # holds the GIL
    await asyncio.sleep(0.1)

with Detector(6.0, record=sys.argv[1]) as detector:
    assert detector.wait_for_observer(), detector.observer_problem
    asyncio.run(main())
"""


def test_what_is_shorter_than_a_long_threshold_is_not_told_while_it_lasts_either(tmp_path: Path) -> None:
    """The observer speaks after a second, in the place of a process that cannot: of a stall, and of nothing less."""
    subprocess.run([sys.executable, "-c", SHORT_OF_IT, str(tmp_path / "stalls.jsonl")], timeout=60, check=True)
    assert records(tmp_path) == []

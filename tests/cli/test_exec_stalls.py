"""What exec adds to a program: the report, the record, and the exit code for a stall."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from loophound.ledger.store import load

BLOCKS = """
import asyncio, sys, time
async def main():
    await asyncio.sleep(0.05)
    time.sleep(0.4)
    await asyncio.sleep(0.05)
asyncio.run(main())
print("ends")
sys.exit(int(sys.argv[1]))
"""
HEALTHY = "import asyncio\nasyncio.run(asyncio.sleep(0.05))"
IN_A_THREAD_LEFT_BEHIND = """
import asyncio, threading, time
async def main():
    await asyncio.sleep(0.3)
    time.sleep(0.4)
    await asyncio.sleep(0.05)
threading.Thread(target=asyncio.run, args=(main(),)).start()
"""


def execute(tmp_path: Path, source: str, *options: str, code: str = "0") -> subprocess.CompletedProcess[str]:
    (tmp_path / "program.py").write_text(source)
    return subprocess.run(
        [sys.executable, "-m", "loophound", "exec", *options, "program.py", code],
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_a_stall_is_reported_and_recorded(tmp_path: Path) -> None:
    done = execute(tmp_path, BLOCKS, "--record", "stalls.jsonl")
    assert (done.stdout, done.returncode) == ("ends\n", 0)
    assert "sleep · program.py:5 in main" in done.stderr
    assert f"source: {tmp_path}/program.py:5: time.sleep(0.4)" in done.stderr
    assert "summary: program.py:5 in main · sleep · 1 time" in done.stderr
    records = [json.loads(line) for line in (tmp_path / "stalls.jsonl").read_text().splitlines()]
    # A crowded machine may add a stall of its own (starved), which accuses nobody.
    accused = [(one["cause"], one["culprit"] and one["culprit"]["line"]) for one in records if not one["innocent"]]
    assert accused == [("sleep", 5)], records


def test_a_ledger_is_kept_and_a_broken_one_changes_nothing(tmp_path: Path) -> None:
    done = execute(tmp_path, BLOCKS, "--ledger=ledger.db")
    assert (done.stdout, done.returncode) == ("ends\n", 0)
    accused = [group for group in load(tmp_path / "ledger.db") if not group.latest.innocent]
    assert [(group.cause, group.count) for group in accused] == [("sleep", 1)]
    (tmp_path / "ledger.db").write_text("no database " * 100)
    done = execute(tmp_path, BLOCKS, "--ledger=ledger.db")
    assert (done.stdout, done.returncode) == ("ends\n", 0)
    assert "sleep · program.py:5 in main" in done.stderr
    assert done.stderr.count("is corrupt") == 1


@pytest.mark.parametrize(("own", "expected"), [("0", 70), ("3", 3)])
def test_fail_on_stall(own: str, expected: int, tmp_path: Path) -> None:
    assert execute(tmp_path, BLOCKS, "--fail-on-stall", code=own).returncode == expected


def test_a_healthy_program_does_not_fail(tmp_path: Path) -> None:
    done = execute(tmp_path, HEALTHY, "--fail-on-stall", "--detect-blocking=5000")
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_the_threshold_is_an_option(tmp_path: Path) -> None:
    done = execute(tmp_path, BLOCKS, "--fail-on-stall", "--detect-blocking=30000")
    assert (done.stderr, done.returncode) == ("", 0)


def test_a_loop_in_a_thread_that_outlives_main_is_watched(tmp_path: Path) -> None:
    done = execute(tmp_path, IN_A_THREAD_LEFT_BEHIND, "--fail-on-stall")
    assert "program.py:5 in main" in done.stderr
    assert done.returncode == 70


def test_an_unwritable_record_runs_nothing(tmp_path: Path) -> None:
    done = execute(tmp_path, BLOCKS, "--record", "absent/f")
    assert (done.stdout, done.returncode) == ("", 2)
    assert done.stderr.startswith("loophound: --record: cannot write ")
    assert "there is no directory" in done.stderr
    assert done.stderr.count("\n") == 1

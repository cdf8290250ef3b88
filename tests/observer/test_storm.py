"""A short storm; `python -m tests.observer.storm --seconds 3600` is the long one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from loophound.detector.frames import CodeFrame
from tests.observer import storm

SECONDS = 15


@pytest.mark.skipif(sys.platform != "linux", reason="the observer reads /proc")
def test_no_accepted_stack_is_false() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.observer.storm", "--seconds", str(SECONDS)],
        cwd=Path(__file__).parent.parent.parent, capture_output=True, text=True, timeout=SECONDS * 10 + 60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 false" in done.stdout
    assert done.stderr == ""


def line_of(text: str) -> int:
    lines = Path(storm.__file__).read_text(encoding="utf-8").splitlines()
    return next(n for n, line in enumerate(lines, 1) if text in line)


def test_a_false_stack_is_told() -> None:
    turn = CodeFrame(storm.__file__, line_of("sum(each_a(5))"), "turn_a")
    assert storm.false_in((turn, CodeFrame(storm.__file__, 1, "each_a"))) is None
    assert "does not call" in (storm.false_in((turn, CodeFrame(storm.__file__, 1, "leaf_a"))) or "")
    other = CodeFrame("/usr/lib/python3.11/functools.py", 1, "reduce")
    mixed = (turn, other, CodeFrame(storm.__file__, 1, "leaf_b"))
    assert "two families" in (storm.false_in(mixed) or "")

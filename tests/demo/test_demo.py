"""The demo as a user runs it: a server, traffic, and reports that are read back."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from loophound.demo.run import REQUIRED

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in REQUIRED), reason="the demo extra is not installed"
)


def run_demo() -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "loophound", "demo", "--seconds", "10"],
        capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip


def test_every_planted_blocker_is_named_right_and_nobody_else() -> None:
    demo = run_demo()
    for _ in range(3):
        # A machine that takes its CPUs away for half a second at a time proves nothing: the reports tell.
        if demo.returncode and ("starved" in demo.stdout or "suspended" in demo.stdout):
            demo = run_demo()
    output = f"{demo.stdout}\n{demo.stderr}"
    assert "10 of 10 named right" in demo.stdout, output
    assert "0 accusations on healthy endpoints" in demo.stdout, output
    assert demo.returncode == 0, output
    assert "BLOCKED" in demo.stderr, "the reports show while the traffic runs"

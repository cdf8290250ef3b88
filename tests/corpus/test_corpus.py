"""Each scenario on each loop: who is named, why, and nobody else.

The scenarios of a loop run in one process, with nothing of pytest in it. A scenario that the machine
disturbed is tried again; where it did so each time, nothing is decided, which is told.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.corpus.__main__ import LOOPS, UNDECIDED, choose

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the observer reads /proc")

PATIENCE_S = 900


@pytest.mark.parametrize("loop", list(LOOPS))
def test_scenarios(loop: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.corpus", "--loop", loop, "--json", str(tmp_path / "found")],
        cwd=Path(__file__).parent.parent.parent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert (tmp_path / "found").exists(), done.stdout + done.stderr
    found = json.loads((tmp_path / "found").read_text(encoding="utf-8"))
    undecided = [name for name, problems in found.items() if any(p.startswith(UNDECIDED) for p in problems)]
    assert {name: problems for name, problems in found.items() if problems and name not in undecided} == {}
    assert len(undecided) <= len(found) // 5, undecided


def test_there_are_enough_of_every_kind() -> None:
    scenarios = choose(())
    causes = {cause for scenario in scenarios for expected in scenario.expected for cause in expected.causes}
    assert len(scenarios) >= 60
    assert len(causes) >= 9  # starved and suspended take a process of their own: test_programs.py
    assert sum(not scenario.expected for scenario in scenarios) >= 20

"""Each scenario on each loop: who is named, why, and nobody else.

The scenarios run in two processes, one for each loop, with nothing of pytest in them. A scenario
that the machine disturbed, as the records themselves say, has been tried again.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.corpus.__main__ import LOOPS, choose

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the observer reads /proc")

PATIENCE_S = 900


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What was wrong, by loop and scenario."""
    folder = tmp_path_factory.mktemp("corpus")
    runs = {
        loop: subprocess.Popen(
            [sys.executable, "-m", "tests.corpus", "--loop", loop, "--json", str(folder / loop)],
            cwd=Path(__file__).parent.parent.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for loop in LOOPS
    }
    found: dict[str, list[str]] = {}
    for loop, process in runs.items():
        output, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode in (0, 1), output
        found |= json.loads((folder / loop).read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("name", [s.name for s in choose(())])
@pytest.mark.parametrize("loop", list(LOOPS))
def test_scenario(loop: str, name: str, results: dict[str, list[str]]) -> None:
    assert results[f"{loop}-{name}"] == []


def test_there_are_enough_of_every_kind() -> None:
    scenarios = choose(())
    causes = {cause for scenario in scenarios for expected in scenario.expected for cause in expected.causes}
    assert len(scenarios) >= 60
    assert len(causes) >= 9  # starved and suspended take a process of their own: test_programs.py
    assert sum(not scenario.expected for scenario in scenarios) >= 20

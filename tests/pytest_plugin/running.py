"""Runs of pytest as users run it, and what they wrote."""

from __future__ import annotations

import json
import re
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NamedTuple

import pytest

SUITES = Path(__file__).parent / "suites"
NAMED = re.compile(r"test_\w+")
# An environment that was installed before the plugin existed has no entry point for it.
INSTALLED = any(entry.name == "loophound" for entry in entry_points(group="pytest11"))


class Outcome(NamedTuple):
    result: pytest.RunResult
    stalls: list[dict[str, Any]]

    def failed(self) -> dict[str, int]:
        """The culprits' lines by the names of the tests that failed for them; 0 where none was named."""
        failed = [told for told in self.stalls if told["verdict"] == "failed"]
        return {name_of(told["test"]): (told["stall"]["culprit"] or {"line": 0})["line"] for told in failed}

    def told(self, test: str) -> list[dict[str, Any]]:
        return [told for told in self.stalls if name_of(told["test"]) == test]

    @property
    def is_disturbed(self) -> bool:
        """The machine took the CPU from the test, which is let off then, or from those who look at it."""
        return 0 in self.failed().values() or any(told["stall"]["cause"] == "starved" for told in self.stalls)


def name_of(test: str) -> str:
    return test.rpartition("::")[2].partition("[")[0]


def run(pytester: pytest.Pytester, *options: str, within: bool = False) -> pytest.RunResult:
    """In a process of its own, or `within` this one, for what fails before it begins."""
    plugin = () if INSTALLED else ("-p", "loophound.pytest_plugin")
    if "asyncio" not in options:
        options = ("-p", "no:asyncio", *options)  # which warns where it has no settings
    runner = pytester.runpytest_inprocess if within else pytester.runpytest_subprocess
    return runner(*plugin, "-p", "no:cacheprovider", "-p", "no:randomly", *options)


def guarded(pytester: pytest.Pytester, *options: str) -> Outcome:
    """With `--fail-on-stall`."""
    result = run(pytester, "--fail-on-stall", "--stall-json=stalls.json", *options)
    return Outcome(result, json.loads((pytester.path / "stalls.json").read_text())["stalls"])


def suite(pytester: pytest.Pytester, name: str) -> dict[str, int]:
    """Copy a suite; gives the lines on which its tests block, by their names."""
    source = (SUITES / f"{name}.py").read_text()
    pytester.makepyfile(**{f"test_{name}": source})
    lines = (pytester.path / f"test_{name}.py").read_text().splitlines()
    return {
        test: number
        for number, line in enumerate(lines, 1)
        if "  # test_" in line
        for test in NAMED.findall(line.rpartition("  # ")[2])
    }

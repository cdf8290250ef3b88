"""Runs of pytest as users run it, and what they wrote."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

SUITES = Path(__file__).parent / "suites"
NAMES = re.compile(r"  # (test_\w+(?: test_\w+)*)")
# An environment that was installed before the plugin existed has no entry point for it.
INSTALLED = any(entry.name == "loophound" for entry in entry_points(group="pytest11"))
PLUGINS = {"asyncio", "pytest_cov", "randomly", "timeout", "xdist"}  # of which each run gets those that it asks for
LONGEST_S = 120


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of a run with `--fail-on-stall`."""

    returned: int
    lines: list[str]
    stalls: list[dict[str, Any]]
    calls: list[dict[str, Any]]

    @property
    def counts(self) -> dict[str, int]:
        return pytest.RunResult.parse_summary_nouns(self.lines)

    def failed(self) -> dict[str, int]:
        """The culprits' lines by the names of the tests that failed for them; 0 where none was named.

        A crowded machine may make a library's own start a stall too: the lines of the tests' files count.
        """
        failed = [told for told in self.stalls if told["verdict"] == "failed"]
        lines = {name_of(told["test"]): 0 for told in failed if told["stall"]["culprit"] is None}
        for told in failed:
            culprit = told["stall"]["culprit"]
            if culprit is not None and Path(culprit["file"]).name.startswith("test_"):
                lines[name_of(told["test"])] = culprit["line"]
        return lines

    def told(self, test: str) -> list[dict[str, Any]]:
        return [told for told in self.stalls if name_of(told["test"]) == test]

    def during(self, test: str) -> list[str]:
        """In which phase and fixture it failed."""
        return [f"{told['phase']} of {told['fixture']}" for told in self.told(test) if told["verdict"] == "failed"]

    def match(self, *patterns: str) -> None:
        pytest.LineMatcher(self.lines).fnmatch_lines(patterns)


@dataclass(frozen=True, slots=True)
class Started:
    """A run that goes on beside others."""

    directory: Path
    process: subprocess.Popen[bytes]

    def wait(self) -> None:
        try:
            self.process.wait(LONGEST_S)
        finally:
            self.process.kill()
            self.process.wait()

    def outcome(self) -> Outcome:
        self.wait()
        returned = self.process.returncode
        output = (self.directory / "output").read_text()
        written = self.directory / "stalls.json"
        assert written.exists(), output
        told = json.loads(written.read_text())
        return Outcome(returned, output.splitlines(), told["stalls"], told["calls"])


def together(runs: Mapping[str, Started]) -> dict[str, Outcome]:
    """Most of a run's time is spent asleep, so that several take hardly longer than one."""
    for run in runs.values():
        run.wait()
    return {name: run.outcome() for name, run in runs.items()}


def start(pytester: pytest.Pytester, name: str, source: str, *options: str, attended: bool = False) -> Started:
    """Guard a module of tests, in a directory and a process of its own; `attended`: somebody is at its keys."""
    directory = pytester.path / name
    directory.mkdir(exist_ok=True)
    (directory / f"test_{name}.py").write_text(source)
    command = [sys.executable, "-m", "pytest", *switches(options), "--fail-on-stall", "--stall-json=stalls.json"]
    with open(directory / "output", "wb") as output:
        process = pytester.popen(
            [*command, *options],
            stdin=subprocess.PIPE if attended else pytester.CLOSE_STDIN,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=directory,
        )
    return Started(directory, process)


def switches(options: Iterable[str]) -> list[str]:
    """Leaves out the plugins that the environment has and a run did not ask for."""
    switches = [] if INSTALLED else ["-p", "loophound.pytest_plugin"]
    for name in ["cacheprovider", "hypothesispytest", *sorted(PLUGINS.difference(options))]:
        switches += ["-p", f"no:{name}"]
    return switches


def name_of(test: str) -> str:
    return test.rpartition("::")[2].partition("[")[0]


def run(pytester: pytest.Pytester, *options: str, within: bool = False) -> pytest.RunResult:
    """In a process of its own, or `within` this one, for what fails before it begins."""
    runner = pytester.runpytest_inprocess if within else pytester.runpytest_subprocess
    return runner(*switches(options), *options)


def guarded(pytester: pytest.Pytester, source: str, *options: str) -> Outcome:
    return start(pytester, "suite", source, *options).outcome()


def suite(name: str) -> tuple[str, dict[str, int]]:
    """The text of a suite, and the lines on which its tests block, by their names."""
    source = (SUITES / f"{name}.py").read_text()
    lines: dict[str, int] = {}
    for number, line in enumerate(source.splitlines(), 1):
        for names in NAMES.findall(line):
            lines |= dict.fromkeys(names.split(), number)
    return source, lines

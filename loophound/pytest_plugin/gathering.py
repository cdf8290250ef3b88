"""All stalls of a run, wherever its tests ran: the summary, the files and the annotations."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from loophound.detector.allowances import Allowance
from loophound.pytest_plugin.annotations import annotates, of_stalls, workspace
from loophound.pytest_plugin.baseline import Baseline
from loophound.pytest_plugin.settings import Settings
from loophound.pytest_plugin.text import full_text, table
from loophound.pytest_plugin.verdict import Judged, Verdict
from loophound.source import SourceLines

SCHEMA = "loophound.pytest/1"
CALL_GATHERING = "loophound-call-gathering"  # calls.py, where it was asked for
REPORTED = "loophound_stalls"  # the attribute of a report that carries the stalls of its phase


class Gathering:
    """Fed by reports, and at the end by each process for what belongs to no test."""

    def __init__(self, config: pytest.Config, settings: Settings, baseline: Baseline) -> None:
        self._config = config
        self._settings = settings
        self._baseline = baseline
        self._stalls: list[Judged] = []
        self._ran: set[str] = set()
        self._unused: dict[str, int] = {}  # processes in which an allowance covered nothing
        self._processes = 0
        self.problems: list[str] = []

    def add(self, stalls: Iterable[Judged]) -> None:
        self._stalls += stalls

    def note_unused(self, allowances: Iterable[Allowance]) -> None:
        self._count_unused(f"{allowance.code} ({allowance.reason})" for allowance in allowances)

    def to_json(self) -> str:
        """For the controller of pytest-xdist."""
        return json.dumps(
            {
                "problems": self.problems,
                "unused": list(self._unused),
                "stalls": [judged.to_dict() for judged in self._stalls],
            }
        )

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._ran.add(report.nodeid)
        told = getattr(report, REPORTED, None)
        if told is not None:
            self.add(map(Judged.from_dict, json.loads(told)))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """A worker of pytest-xdist has ended."""
        text = getattr(node, "workeroutput", {}).get("loophound")
        if text is None:  # it crashed, or runs without the plugin
            self.problems.append("a worker ended without a word of its stalls")
            return
        told = json.loads(text)
        self.add(map(Judged.from_dict, told["stalls"]))
        self._count_unused(told["unused"])
        self.problems += [problem for problem in told["problems"] if problem not in self.problems]

    def _count_unused(self, names: Iterable[str]) -> None:
        self._processes += 1
        for name in names:
            self._unused[name] = self._unused.get(name, 0) + 1

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        settings = self._settings
        try:
            if settings.json_file is not None:
                settings.json_file.write_text(self._json(), encoding="utf-8")
            if settings.baseline_file is not None and settings.update_baseline:
                known = [judged for judged in self._stalls if judged.verdict is Verdict.KNOWN]
                self._baseline.updated(known, self._ran).write(settings.baseline_file)
        except OSError as error:
            self.problems.append(f"a file of the run could not be written: {error}")
        if settings.strict and self.problems and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _json(self) -> str:
        calls = self._config.pluginmanager.get_plugin(CALL_GATHERING)
        told = {
            "schema": SCHEMA,
            "limit_ms": self._settings.limit_ms,
            "problems": self.problems,
            "stalls": [judged.to_dict() for judged in self._stalls],
            "calls": calls.to_list() if calls is not None else [],
        }
        return json.dumps(told, indent=2) + "\n"

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        write = terminalreporter.write_line
        notes = list(self._notes())
        if self._stalls or self.problems or notes:
            terminalreporter.write_sep("=", "stalls of the event loop")
        for problem in self.problems:
            write(f"loophound: {problem}", red=True, bold=True)
        if self._stalls:
            for line in table(self._stalls):
                write(line)
        if self._settings.full_report:
            sources = SourceLines()
            for judged in self._stalls:
                if judged.verdict is not Verdict.FAILED:  # those are told as failures
                    write("")
                    write(full_text(judged, sources), yellow=True)
        for note in notes:
            write(note, yellow=True)
        if annotates():
            for line in of_stalls(self._stalls, workspace(self._config.rootpath)):
                write(line)

    def _notes(self) -> Iterator[str]:
        for name, processes in self._unused.items():
            if processes == self._processes:
                yield f"nothing blocked in {name}, which pyproject.toml allows"
        if self._settings.update_baseline:
            yield f"the baseline {self._settings.baseline_file} has been written"
            return
        for entry in self._baseline.vanished(self._stalls, self._ran):
            yield f"in the baseline, and gone: {entry.cause} in {entry.where} (--stall-baseline-update removes it)"

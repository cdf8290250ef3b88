"""`--flag-blocking-calls`: synchronous calls on the thread of a loop that runs, as the tests make them.

A stall tells what did hurt; a flagged call can, before it does. `loophound/calls/` finds them. With `raise`
a call is refused before it happens, so that the test fails at its line; with `report` it is told and happens.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from loophound.calls import observing
from loophound.calls.flagger import Flagger
from loophound.dashboards.calls import line
from loophound.dashboards.wording import duration, place
from loophound.detector.adapters.loops import LoopWatch
from loophound.detector.adapters.trio_runs import TrioRun
from loophound.detector.allowances import Allowance
from loophound.detector.records import BlockingCall
from loophound.pytest_plugin.annotations import annotates, of_calls, workspace
from loophound.pytest_plugin.markers import Rules, rules_of

REPORTED = "loophound_calls"  # the attribute of a report that carries the calls of its phase
PATIENCE_S = 1.0
LOOK_S = 0.002
MOST_LINES = 100
Hook = Generator[None, Any, Any]


class CallGuard:
    """In each process that runs tests."""

    def __init__(
        self, config: pytest.Config, *, raises: bool, limit_ms: float, allowances: tuple[Allowance, ...]
    ) -> None:
        self._config = config
        self._default_rules = Rules(limit_ms)
        self._flagger = Flagger([self._arrive], raises=raises, everywhere=True, allowances=allowances)
        self._loops = LoopWatch(self._begins, self._ends)
        self._allowed = True  # outside of tests
        self._arrived: list[BlockingCall] = []
        self._of_phase: list[BlockingCall] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Hook:
        if session.config.option.collectonly or self._config.pluginmanager.hasplugin("dsession"):
            return (yield)
        self._flagger.start()
        self._loops.install()
        try:
            return (yield)
        finally:
            self._loops.remove()
            self._flagger.stop()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Hook:
        try:
            self._allowed = bool(rules_of(item, self._default_rules).reason)
        except pytest.UsageError:  # the guard of stalls tells it
            self._allowed = False
        try:
            return (yield)
        finally:
            self._allowed = True

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Hook:
        return (yield from self._phase(item))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Hook:
        return (yield from self._phase(item))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Hook:
        return (yield from self._phase(item))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if self._of_phase:
            setattr(report, REPORTED, json.dumps([call.to_dict() for call in self._of_phase]))
            self._of_phase = []
        return report

    def _phase(self, item: pytest.Item) -> Hook:
        try:
            outcome = yield
        finally:
            self._end(item)
        refused = [line(call) for call in self._of_phase if call.duration_s is None]
        if refused and self._flagger.raises:  # in a callback, in a thread, or caught by the program
            pytest.fail("\n".join(["refused, and the error did not reach the test:", *refused]), pytrace=False)
        return outcome

    def _end(self, item: pytest.Item) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not self._flagger.idle() and time.monotonic() < deadline_s:
            time.sleep(LOOK_S)
        self._of_phase, self._arrived = self._arrived, []
        item.user_properties += [("blocking_call", line(call)) for call in self._of_phase]

    # On the thread of a loop

    def _begins(self, loop: asyncio.AbstractEventLoop, base: int) -> Any:
        """What was there before: a server may mark the requests of its loop itself."""
        ident = threading.get_ident()
        before = observing.served.get(ident)
        if not self._allowed and not isinstance(loop, TrioRun):  # a guest's thread does other things between
            self._flagger.serve()
        return ident, before

    def _ends(self, ticket: Any) -> None:
        ident, before = ticket
        if before is None:
            observing.served.pop(ident, None)
        else:
            observing.served[ident] = before

    def _arrive(self, call: BlockingCall) -> None:
        """On the flagger's thread."""
        self._arrived.append(call)


class CallGathering:
    """All flagged calls of a run, wherever its tests ran."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.calls: list[tuple[str, BlockingCall]] = []

    def to_list(self) -> list[dict[str, Any]]:
        return [{"test": test, "call": call.to_dict()} for test, call in self.calls]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        told = json.loads(getattr(report, REPORTED, "[]"))
        self.calls += [(report.nodeid, BlockingCall.from_dict(call)) for call in told]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.calls:
            terminalreporter.write_sep("=", "blocking calls")
            for text in call_table(self.calls):
                terminalreporter.write_line(text)
        if annotates():
            calls = [call for _, call in self.calls]
            for text in of_calls(calls, workspace(self._root)):
                terminalreporter.write_line(text)


def call_table(calls: list[tuple[str, BlockingCall]]) -> list[str]:
    """Calls of one line together, the longest first; a header, then a line each."""
    groups: dict[tuple[str, str], list[tuple[str, BlockingCall]]] = {}
    for test, call in calls:
        where = place(call.caller) if call.caller is not None else "no line known"
        groups.setdefault((where, call.call), []).append((test, call))
    rows = []
    for (where, name), group in groups.items():
        worst_s = max(call.duration_s or 0.0 for _, call in group)
        others = len({test for test, _ in group}) - 1
        took = duration(worst_s) if worst_s >= 0.001 else "refused" if group[0][1].duration_s is None else "< 1 ms"
        rows.append(
            (worst_s, (took, str(len(group)), name, where, group[0][0] + (f" and {others} more" if others else "")))
        )
    rows.sort(key=lambda row: -row[0])
    cells = [("longest", "times", "call", "where", "test"), *(row[1] for row in rows[:MOST_LINES])]
    widths = [max(len(row[column]) for row in cells) for column in range(4)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]) for row in cells
    ]
    return [*lines, f"… and {len(rows) - MOST_LINES} more lines"] if len(rows) > MOST_LINES else lines

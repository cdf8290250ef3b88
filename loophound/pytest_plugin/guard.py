"""Watches the tests of this process: a phase in which a loop was blocked fails."""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Sequence
from typing import Any
from warnings import WarningMessage

import pytest

from loophound.dashboards.account import headline
from loophound.pytest_plugin import StallWarning
from loophound.pytest_plugin.arming import Arming
from loophound.pytest_plugin.baseline import Baseline
from loophound.pytest_plugin.gathering import REPORTED, Gathering
from loophound.pytest_plugin.markers import Rules, rules_of
from loophound.pytest_plugin.settings import Settings
from loophound.pytest_plugin.text import full_text, property_text
from loophound.pytest_plugin.timeline import LiveFixture, Phase, Timeline
from loophound.pytest_plugin.verdict import Judge, Judged, Verdict
from loophound.pytest_plugin.watch import WATCH, Watch, exempt_from_frozen_time
from loophound.source import SourceLines

# The function of the fixture that pytest makes of a test's parameter: there nobody's code runs.
PARAMETER = "get_direct_param_fixture_func"
# What a test may end with and still have a report; anything else ends the session.
ENDED = (Exception, pytest.fail.Exception, pytest.skip.Exception)
Hook = Generator[None, Any, Any]


def phase(name: str) -> Any:
    """The hook around a phase of a test: what blocked a loop in it makes it fail."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def hook(self: Guard, item: pytest.Item) -> Hook:
        now = self._begin(name)
        try:
            outcome = yield
        except ENDED:
            text = self._end(item, now)
            if text:
                item.add_report_section(name, "stalls", text)
            raise
        text = self._end(item, now)
        if text:
            pytest.fail(text, pytrace=False)
        if self._problems and name == "setup" and item in self._problems:
            pytest.fail(self._problems[item], pytrace=False)  # not before: other plugins' teardown relies on the set-up
        return outcome

    return hook


class Reporting:
    """Gives a report the stalls of its phase. A plugin of its own, registered with the first stall: it is called
    thrice a test, which most suites would pay for nothing.
    """

    def __init__(self) -> None:
        self.judged: Sequence[Judged] = ()  # in the phase that has just ended

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if self.judged:
            # As text: pytest-xdist carries nothing but built-in types.
            setattr(report, REPORTED, json.dumps([judged.to_dict() for judged in self.judged]))
            self.judged = ()
        return report


class Guard:
    """One for a session. A controller of pytest-xdist runs no tests, so its guard does nothing."""

    def __init__(self, config: pytest.Config, settings: Settings, baseline: Baseline, gathering: Gathering) -> None:
        self._config = config
        self._settings = settings
        self._gathering = gathering
        self._judge = Judge(settings.ignored, frozenset(baseline.entries), settings.update_baseline)
        self._sources = SourceLines()
        self._arming = Arming(self._new_watch)
        self._watch: Watch | None = None  # while tests run
        self._taken = 0  # how many of the watch's sightings have been judged
        self._default_rules = Rules(settings.limit_ms)
        self._rules = self._default_rules  # of the test that runs
        self._rules_by_item: dict[pytest.Item, Rules] = {}  # of those whose markers say anything
        self._problems: dict[pytest.Item, str] = {}  # tests whose markers cannot be right
        self._timeline: Timeline | None = None
        self._debugged = False
        self._reporting = Reporting()
        self._being_set_up: list[LiveFixture] = []
        self._live: dict[object, LiveFixture] = {}

    @property
    def _is_worker(self) -> bool:
        return hasattr(self._config, "workerinput")

    # The session

    def pytest_report_header(self) -> str:
        return f"loophound: a test that blocks an event loop for {self._settings.limit_ms:g} ms fails"

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            try:
                rules = rules_of(item, self._default_rules)
                if rules is not self._default_rules:
                    self._rules_by_item[item] = rules
            except pytest.UsageError as problem:
                if not self._is_worker:  # where it would look like a crash: there the test fails
                    raise
                self._problems[item] = str(problem)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> Hook:
        if self._runs_tests(session):
            self._arming.begin(self._settings.limit_ms)
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Hook:
        if not self._runs_tests(session) or not session.items:
            return (yield)
        limits_ms = [rules.limit_ms for rules in self._rules_by_item.values()]
        watch, problem = self._arming.finish(min([self._settings.limit_ms, *limits_ms]))
        self._watch = self._config.stash[WATCH] = watch
        try:
            self._tell_whether_armed(problem)
            return (yield)
        finally:
            del self._config.stash[WATCH]
            watch.stop()
            self._timeline = None
            self._rules = self._default_rules
            self._gathering.add(self._take(watch))
            self._gathering.note_unused(watch.detector.unused_allowances)

    def _runs_tests(self, session: pytest.Session) -> bool:
        return not session.config.option.collectonly and not self._config.pluginmanager.hasplugin("dsession")

    def _new_watch(self, limit_ms: float) -> Watch:
        return Watch(
            limit_ms,
            allowances=self._settings.allowances,
            fixture_now=self._fixture_now,
            feed_of=self._config.rootpath.name if self._settings.feed else None,
        )

    def pytest_unconfigure(self) -> None:
        self._arming.abandon()

    def pytest_sessionfinish(self) -> None:
        if self._is_worker:
            self._config.workeroutput["loophound"] = self._gathering.to_json()  # type: ignore[attr-defined]

    def _tell_whether_armed(self, problem: str) -> None:
        if problem:
            self._gathering.problems.append(problem)
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None and (problem or reporter.verbosity >= 0):
            outcome = problem or "armed: a block of the self-check was seen"
            reporter.write_line(f"loophound: {outcome}", red=bool(problem), bold=bool(problem))

    # A test

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Hook:
        exempt_from_frozen_time()
        self._rules = self._rules_by_item.get(item, self._default_rules)
        if self._watch is not None:
            self._watch.limit_ms = self._rules.limit_ms
        self._timeline = Timeline(item.nodeid, time.monotonic_ns(), self._live.values())
        return (yield)

    pytest_runtest_setup = phase("setup")
    pytest_runtest_call = phase("call")
    pytest_runtest_teardown = phase("teardown")

    def pytest_enter_pdb(self) -> None:
        self._debugged = True

    def _begin(self, name: str) -> Phase:
        self._debugged = False  # a look at what failed in the phase before stops no loop of this one
        now = Phase(name, time.monotonic_ns())
        if self._timeline is not None:
            self._timeline.phases.append(now)
        return now

    def _end(self, item: pytest.Item, now: Phase) -> str:
        """What to fail for; empty when there is nothing."""
        now.ended_ns = time.monotonic_ns()
        watch = self._watch
        if watch is None or self._timeline is None:
            return ""
        if not watch.detector.settled():
            watch.settle()
        if len(watch.sightings) == self._taken:  # as after nearly every phase of every test
            self._reporting.judged = ()
            return ""
        judged = self._reporting.judged = self._take(watch)
        if not self._config.pluginmanager.is_registered(self._reporting):
            self._config.pluginmanager.register(self._reporting, "loophound-reporting")
        self._warn_of(judged, item)
        item.user_properties += [("stall", property_text(one)) for one in judged]
        guilty = [one for one in judged if one.verdict is Verdict.FAILED]
        return "\n\n".join(full_text(one, self._sources) for one in guilty)

    def _warn_of(self, judged: Sequence[Judged], item: pytest.Item) -> None:
        """The known among them."""
        # Past the filters of warnings, of which one may be to raise: a known stall fails nothing.
        for one in judged:
            culprit = one.stall.culprit
            if one.verdict is Verdict.KNOWN and culprit is not None:
                text = f"{headline(one.stall)} ({one.why})"
                told = WarningMessage(StallWarning(text), StallWarning, culprit.file, culprit.line)
                arguments = {"warning_message": told, "when": "runtest", "nodeid": item.nodeid, "location": None}
                item.ihook.pytest_warning_recorded.call_historic(kwargs=arguments)

    def _take(self, watch: Watch) -> list[Judged]:
        new = watch.sightings[self._taken :]
        self._taken += len(new)
        judged = [self._judge.judge(seen, self._rules, self._timeline, debugged=self._debugged) for seen in new]
        return [one for one in judged if one is not None]

    # Fixtures

    def _fixture_now(self) -> LiveFixture | None:
        """For any thread."""
        last = self._being_set_up[-1:]  # there may be none any more at the next step
        return last[0] if last else None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> Hook:
        if self._timeline is None or getattr(fixturedef.func, "__name__", "") == PARAMETER:
            return (yield)
        live = self._live[fixturedef] = LiveFixture(fixturedef.argname, time.monotonic_ns())
        self._being_set_up.append(live)
        try:
            return (yield)
        finally:
            live.ready_ns = time.monotonic_ns()
            self._being_set_up.remove(live)
            # Added last, so called first: nothing else tells that a teardown begins.
            request.addfinalizer(live.begin_teardown)

    def pytest_fixture_post_finalizer(self, fixturedef: pytest.FixtureDef[Any]) -> None:
        live = self._live.pop(fixturedef, None)
        if live is not None:
            live.over_ns = time.monotonic_ns()
            if self._timeline is not None:
                self._timeline.over.append(live)

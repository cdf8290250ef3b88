"""Who is told to have blocked, without a process or a clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from loophound.detector.records import Cause, Evidence
from loophound.pytest_plugin.annotations import of_calls, of_stalls, workspace
from loophound.pytest_plugin.baseline import Baseline
from loophound.pytest_plugin.markers import Rules
from loophound.pytest_plugin.timeline import LiveFixture, Phase, Timeline
from loophound.pytest_plugin.verdict import Judge, Judged, Verdict
from loophound.pytest_plugin.watch import Run, Sighting
from tests.stalls import blocking_call, stall

S = 1_000_000_000
RULES = Rules(100)
TIMELINE = Timeline(
    "test_a.py::test_it",
    10 * S,
    live=[LiveFixture("outer", 11 * S, 19 * S)],
    over=[LiveFixture("inner", 12 * S, 15 * S, 36 * S, 37 * S)],
    phases=[Phase("setup", 10 * S, 20 * S), Phase("call", 20 * S, 30 * S), Phase("teardown", 30 * S)],
)


def seen(at_s: float = 25, run: Run | None = None, **changes: Any) -> Sighting:
    record = stall(**changes)
    return Sighting(record, int(at_s * S), int((at_s + record.duration_s) * S), run)


def judged(sighting: Sighting, rules: Rules = RULES, known: tuple[str, ...] = (), debugged: bool = False) -> Judged:
    judge = Judge(frozenset({Cause.GC}), frozenset(known))
    told = judge.judge(sighting, rules, TIMELINE, debugged=debugged)
    assert told is not None
    return told


def test_whoever_is_named_fails() -> None:
    assert judged(seen()).verdict is Verdict.FAILED


def test_what_is_shorter_than_the_limit_is_not_told() -> None:
    judge = Judge(frozenset(), frozenset())
    assert judge.judge(seen(duration_s=0.3), Rules(301), TIMELINE, debugged=False) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"innocent": True, "cause": Cause.SUSPENDED},
        {"cause": Cause.GC},
        {"duration_s": 0.3, "evidence": Evidence(runqueue_s=0.25)},
    ],
)
def test_the_innocent_do_not(changes: dict[str, Any]) -> None:
    told = judged(seen(**changes))
    assert told.verdict is Verdict.INNOCENT
    assert told.why


def test_a_collection_fails_where_it_is_not_ignored() -> None:
    told = Judge(frozenset(), frozenset()).judge(seen(cause=Cause.GC), RULES, TIMELINE, debugged=False)
    assert told is not None
    assert told.verdict is Verdict.FAILED


def test_a_breakpoint_is_no_stall() -> None:
    assert judged(seen(), debugged=True).verdict is Verdict.INNOCENT


def test_allowed_known_and_expected() -> None:
    assert judged(seen(), Rules(100, "it is old")).why == "it is old"
    assert judged(seen(), known=("c0ffee12",)).verdict is Verdict.KNOWN
    expected = seen()
    expected.expected = True
    assert judged(expected).verdict is Verdict.EXPECTED


@pytest.mark.parametrize(
    ("at_s", "during"),
    [
        (10.1, "setup"),
        (11.1, "setup of fixture 'outer'"),
        (13.0, "setup of fixture 'inner'"),
        (16.0, "setup of fixture 'outer'"),
        (25.0, "call"),
        (31.0, "teardown"),
        (36.1, "teardown of fixture 'inner'"),
    ],
)
def test_the_phase_and_the_fixture_are_those_of_the_time(at_s: float, during: str) -> None:
    assert judged(seen(at_s)).during == during


def test_what_began_before_the_test_is_not_held_against_it() -> None:
    assert judged(seen(9.5)).verdict is Verdict.ELSEWHERE


def test_a_loop_that_another_test_left_behind() -> None:
    fixture = LiveFixture("client")
    left = Run("worker", False, 5 * S, None)
    of_fixture = Run("worker", False, 5 * S, fixture)
    assert judged(seen(run=left)).verdict is Verdict.ELSEWHERE
    assert judged(seen(run=of_fixture)).verdict is Verdict.FAILED
    fixture.over_ns = 20 * S
    assert judged(seen(run=of_fixture)).verdict is Verdict.ELSEWHERE
    assert judged(seen(run=Run("worker", False, 15 * S, None))).verdict is Verdict.FAILED
    assert judged(seen(run=Run("MainThread", True, 5 * S, None))).verdict is Verdict.FAILED


def test_a_judged_stall_survives_its_way_to_the_controller() -> None:
    told = judged(seen(13))
    assert Judged.from_dict(told.to_dict()) == told


def test_the_baseline_keeps_what_was_not_run(tmp_path: Path) -> None:
    ran = {"test_a.py::test_it"}
    known = Baseline({}).updated([judged(seen())], ran)
    known.write(tmp_path / "known.json")
    assert Baseline.read(tmp_path / "known.json", may_be_missing=False) == known
    assert known.vanished([], set()) == []
    assert known.updated([], set()) == known
    assert [entry.fingerprint for entry in known.vanished([], ran)] == ["c0ffee12"]
    assert known.vanished([judged(seen())], ran) == []
    assert known.updated([], ran).entries == {}


def test_an_annotation_escapes_what_would_end_it() -> None:
    [line] = of_stalls([judged(seen(remedy="use 100 %\nof it"))], Path("/srv"))
    assert line.startswith("::error file=app/main.py,line=44,title=Event loop blocked::BLOCKED 312 ms")
    assert line.endswith("use 100 %25%0Aof it")


def test_each_line_is_annotated_once_and_only_what_somebody_has_to_see_to() -> None:
    known, allowed = judged(seen(), known=("c0ffee12",)), judged(seen(), Rules(100, "it is old"))
    twice = [judged(seen()), judged(seen(duration_s=0.5)), judged(seen(culprit=None))]
    failed, warned = of_stalls([*twice, known, allowed], Path("/srv/app"))
    assert failed.startswith("::error file=main.py,line=44,title=Event loop blocked::BLOCKED 500 ms")
    assert warned.startswith("::warning file=main.py,line=44,title=Event loop blocked::BLOCKED 312 ms")


def test_a_refused_call_is_an_error_and_one_that_happened_a_warning() -> None:
    calls = [blocking_call(), blocking_call(duration_s=0.5), blocking_call(duration_s=None), blocking_call(caller=None)]
    assert [line.partition(" · requests")[0][:60] for line in of_calls(calls, Path("/srv"))] == [
        "::warning file=app/main.py,line=44,title=Blocking call on th",
        "::error file=app/main.py,line=44,title=Blocking call on the ",
    ]
    assert "CALL requests.get (tcp 127.0.0.1:5432) · 500 ms" in of_calls(calls, Path("/srv"))[0]


def test_the_names_of_files_are_relative_to_the_workspace() -> None:
    assert workspace(Path("/srv/app"), {"GITHUB_WORKSPACE": "/srv"}) == Path("/srv")
    assert workspace(Path("/srv/app"), {}) == Path("/srv/app")


def test_pytests_own_fixtures_go_by_the_names_that_people_wrote() -> None:
    assert LiveFixture("_xunit_setup_module_fixture_test_a").name == "setup_module"
    assert LiveFixture("_unittest_setUpClass_fixture_TestA").name == "setUpClass"
    assert LiveFixture("database").name == "database"

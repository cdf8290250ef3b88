"""What the console's commands say."""

from __future__ import annotations

import pytest

from loophound.dashboards.console.answers import Answers
from loophound.detector.records import BlockingCall, Cause, Place, Snapshot
from tests.stalls import STACK, stall

SNAPSHOT = Snapshot(
    at="2026-11-22T04:30:14.032Z", pid=71, loop="uvloop.Loop", thread="MainThread", watched_s=61.0, beats=9,
    lag_p50_s=0.0002, lag_p99_s=0.0042, lag_max_s=0.312, utilisation=0.35,
)  # fmt: skip
POOL = {"name": "thread", "kind": "thread", "queued": 2, "running": 4, "rejected": 1, "calls": 9,
        "wait_mean_s": 0.02, "wait_p50_s": 0.02, "wait_p99_s": 0.2,
        "wait_max_s": 0.2, "run_mean_s": 0.1, "run_p50_s": 0.1, "run_p99_s": 0.4, "run_max_s": 0.4}  # fmt: skip


def call(**changes: object) -> BlockingCall:
    values = {
        "id": "c1", "at": "2026-11-22T04:30:14.032Z", "pid": 71, "worker": 0, "thread": "MainThread",
        "call": "time.sleep", "cause": Cause.SLEEP, "caller": Place("/srv/app/main.py", 44, "show"), "stack": STACK,
        "task": None, "request": None, "duration_s": 0.25, "target": None, "fingerprint": "f", "remedy": None,
        **changes,
    }  # fmt: skip
    return BlockingCall(**values)  # type: ignore[arg-type]


@pytest.fixture
def answers() -> Answers:
    made = Answers(lambda: [SNAPSHOT], lambda: [POOL], lambda: 0.0003)
    made.take_stall(stall(id="abc1"))
    made.take_stall(stall(id="abd2", duration_s=1.5, ongoing=True, fingerprint="2", cause=Cause.CPU, request=None))
    made.take_call(call())
    made.take_call(call(id="c2", duration_s=0.5))
    return made


def test_stalls(answers: Answers) -> None:
    head, first, second = answers.stalls().splitlines()
    assert head.split() == ["id", "when", "lasted", "cause", "culprit", "request"]
    assert first.split("  ")[0] == "abc1"
    assert first.endswith("312 ms  io     main.py:44 in show  GET /show/7")
    assert "1.50 s+  cpu    main.py:44 in show  -" in second


def test_of_many_stalls_the_latest_stand_above_the_prompt(answers: Answers) -> None:
    for number in range(30):
        answers.take_stall(stall(id=f"n{number}"))
    lines = answers.stalls().splitlines()
    assert (lines[1].split()[0], lines[20].split()[0], lines[-1]) == ("n10", "n29", "12 before them")


def test_one_stall_by_the_first_characters_of_its_id(answers: Answers) -> None:
    told = answers.stall("abc")
    assert told.startswith("BLOCKED 312 ms · io · main.py:44 in show · GET /show/7\n")
    assert "  stack:\n    … 1 frame in asyncio\n    /srv/app/main.py:44 in show\n" in told
    assert answers.stall("ab") == "2 stalls have an id that begins with 'ab': abc1, abd2"
    assert answers.stall("x") == "0 stalls have an id that begins with 'x': see `stalls`"
    assert answers.stall("").startswith("0 stalls")


def test_culprits_and_calls(answers: Answers) -> None:
    assert [line.split()[-6:-2] for line in answers.culprits().splitlines()[1:]]
    assert "main.py:44 in show  cpu        1  1.50 s  1.50 s       37" in answers.culprits()
    assert "time.sleep  main.py:44 in show      2  500 ms" in answers.calls()


def test_lag(answers: Answers) -> None:
    head, figures, now = answers.lag().splitlines()
    assert figures.split("  ")[0] == "MainThread"
    assert figures.split()[-9:] == ["0.2", "ms", "4.2", "ms", "312", "ms", "35%", "61.0", "s"]
    assert (head.split()[0], now) == ("thread", "it answers after 0.3 ms now")


def test_a_loop_that_does_not_answer() -> None:
    assert Answers().lag() == "no loop is watched\nit does not answer just now: blocked"


def test_offload(answers: Answers) -> None:
    head, pool = answers.offload().splitlines()
    assert head.split()[:3] == ["executor", "kind", "worker"]
    assert pool.split()[:6] == ["thread", "thread", "0", "2", "4", "1"]


def test_nothing_yet() -> None:
    empty = Answers()
    assert [empty.stalls(), empty.culprits()] == ["no stalls yet"] * 2
    assert empty.calls() == "no synchronous call was flagged"
    assert empty.offload() == "nothing is offloaded"


def test_nothing_hostile_is_shown() -> None:
    hostile = "\x1b[2J\r\n"
    made = Answers()
    made.take_stall(stall(id=hostile, culprit=Place(hostile, 1, hostile)))
    made.take_call(call(call=hostile, caller=Place(hostile, 1, hostile)))
    for text in (made.stalls(), made.stall(hostile), made.culprits(), made.calls()):
        assert "\x1b" not in text
        assert "\r" not in text

"""Hung, busy, starved, stopped, or in a debugger: by numbers alone."""

from __future__ import annotations

import pytest

from loophound.supervisor.vigil import Condition, Look, Vigil

T = 30.0


def judged(*looks: Look) -> list[Condition]:
    vigil = Vigil(T, 0.0)
    return [vigil.judge(look) for look in looks]


@pytest.mark.parametrize(
    ("look", "condition"),
    [
        (Look(10.0, 9.0), Condition.FINE),
        (Look(13.0, 9.0), Condition.BUSY),
        (Look(39.0, 9.0), Condition.HUNG),
        (Look(39.0, 9.0, state="R"), Condition.HUNG),
        (Look(39.0, 9.0, state="D"), Condition.HUNG),
        (Look(39.0, 9.0, state="T"), Condition.STOPPED),
        (Look(20.0, 9.0, state="T"), Condition.BUSY),  # its time is not over
        (Look(39.0, 9.0, state="t"), Condition.SUSPENDED),
        (Look(39.0, 9.0, traced=True), Condition.SUSPENDED),
        (Look(12.0, 9.0, traced=True), Condition.SUSPENDED),
    ],
)
def test_one_look(look: Look, condition: Condition) -> None:
    assert judged(Look(9.5, 9.0), look)[1] is condition


def test_time_without_a_cpu_is_not_held_against_it() -> None:
    before = Look(9.5, 9.0, starved_s=100.0)
    assert judged(before, Look(39.0, 9.0, starved_s=100.0))[1] is Condition.HUNG
    looks = Look(39.0, 9.0, starved_s=115.0), Look(53.9, 9.0, starved_s=115.0), Look(54.0, 9.0, starved_s=115.0)
    assert judged(before, *looks)[1:] == [Condition.STARVED, Condition.STARVED, Condition.HUNG]


def test_after_a_debugger_its_time_begins_anew() -> None:
    vigil = Vigil(T, 0.0)
    assert vigil.judge(Look(1000.0, 1.0, traced=True)) is Condition.SUSPENDED
    assert vigil.judge(Look(1029.0, 1.0)) is Condition.BUSY
    assert vigil.judge(Look(1030.0, 1.0)) is Condition.HUNG


def test_a_silence_that_nobody_could_see_does_not_count() -> None:
    vigil = Vigil(T, 0.0)
    vigil.judge(Look(10.0, 9.0))
    vigil.forgive(500.0)
    assert vigil.judge(Look(500.0, 9.0)) is Condition.FINE
    assert vigil.judge(Look(531.0, 9.0)) is Condition.HUNG


def test_a_turn_ends_it() -> None:
    assert judged(Look(39.0, 1.0), Look(40.0, 39.5)) == [Condition.HUNG, Condition.FINE]

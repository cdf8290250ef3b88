"""Which stalls are covered by what somebody allowed."""

from __future__ import annotations

import pytest

from loophound.detector.allowances import Allowance, Allowances, Permit
from loophound.detector.episode import Span
from loophound.detector.frames import CodeFrame

LOAD = CodeFrame("/srv/shop/app/rules.py", 12, "Rules.load")
INNER = CodeFrame("/srv/shop/app/rules.py", 14, "Rules.load.<locals>.parse")
PACKAGE = CodeFrame("/srv/shop/app/__init__.py", 3, "boot")
OTHER = CodeFrame("/srv/shop/myapp/rules.py", 12, "Rules.load")


@pytest.mark.parametrize(
    ("code", "covered"),
    [
        ("app.rules", [LOAD, INNER]),
        ("app.rules:Rules.load", [LOAD, INNER]),
        ("app.rules:Rules", [LOAD, INNER]),
        ("app.rules:Rules.lo", []),
        ("rules", [LOAD, INNER, OTHER]),
        ("app", [PACKAGE]),
        ("app:boot", [PACKAGE]),
        ("shop.app.rules:other", []),
    ],
)
def test_the_code_that_an_allowance_names(code: str, covered: list[CodeFrame]) -> None:
    allowance = Allowance(code, "it is meant")
    assert [frame for frame in (LOAD, INNER, PACKAGE, OTHER) if allowance.covers(frame)] == covered


def test_a_stack_is_covered_when_one_of_its_frames_is() -> None:
    assert Allowances([Allowance("app", "at start")]).cover([PACKAGE, OTHER])
    assert not Allowances([Allowance("app", "at start")]).cover([OTHER])
    assert not Allowances().cover([PACKAGE])


def test_allowances_that_were_never_needed_are_known() -> None:
    needed, spare = Allowance("app", "at start"), Allowance("app.rules:gone", "it was slow")
    allowances = Allowances([needed, spare])
    allowances.cover([OTHER])
    assert allowances.unused == [needed, spare]
    allowances.cover([PACKAGE])
    assert allowances.unused == [spare]


def permit(began_ns: int, ended_ns: int) -> Permit:
    return Permit(7, LOAD.file, LOAD.function, "it is meant", began_ns, ended_ns)


@pytest.mark.parametrize(
    ("given", "covered"),
    [
        (permit(90, 210), True),
        (permit(90, 0), True),  # not ended yet
        (permit(100, 150), True),
        (permit(160, 210), False),  # most of the stall was before it
        (permit(210, 300), False),
    ],
)
def test_a_permit_covers_most_of_the_stall(given: Permit, covered: bool) -> None:
    assert given.covers(7, Span(100, 200), [PACKAGE, LOAD]) is covered


def test_a_permit_is_of_one_thread_and_one_function() -> None:
    assert not permit(0, 0).covers(8, Span(100, 200), [LOAD])
    assert not permit(0, 0).covers(7, Span(100, 200), [PACKAGE, OTHER])

"""Groups for the tests of the report."""

from __future__ import annotations

from loophound.detector.records import Cause, Place, StackFrame, Stall
from loophound.ledger.groups import Group, Groups
from tests.stalls import stall

CHARGE = (StackFrame("/srv/app/main.py", 9, "pay", app=True), StackFrame("/srv/app/main.py", 7, "charge", app=True))
HOSTILE = "\x1b]0;owned\x07</script><b>[red]x[/]\u202e\udc80;\r\n\"'&"


def stalls() -> list[Stall]:
    """Three groups: io twice, sleep four times, starved once."""
    slept = [
        stall(
            id=f"s{n}", at=f"2026-11-22T05:0{n}:00Z", duration_s=0.15, fingerprint="5leeb", cause=Cause.SLEEP,
            culprit=Place("/srv/app/main.py", 7, "charge", "time.sleep(0.15)"), stack=CHARGE, victims=1,
        )
        for n in range(4)
    ]  # fmt: skip
    starved = stall(
        at="2026-11-22T03:00:00Z", duration_s=2.0, fingerprint="57a12ed", cause=Cause.STARVED, innocent=True,
        culprit=None, stack=(), request=None, victims=0, remedy=None,
    )  # fmt: skip
    return [stall(duration_s=0.3), stall(duration_s=0.5), *slept, starved]


def groups(*more: Stall) -> list[Group]:
    made = Groups()
    for one in (*stalls(), *more):
        made.add(one)
    return list(made)


def hostile() -> Stall:
    """A record in which every text would like to be more than that."""
    frame = StackFrame(HOSTILE, 1, HOSTILE, app=True)
    place = Place(HOSTILE, 1, HOSTILE, HOSTILE)
    return stall(
        fingerprint=HOSTILE, culprit=place, blocking=place, stack=(frame,), remedy=HOSTILE, duration_s=9.0,
        evidence=type(stall().evidence)(syscall=HOSTILE, target=HOSTILE, captured_by=HOSTILE),
        request=type(stall().request)(None, HOSTILE, HOSTILE, None, None),  # type: ignore[misc]
    )  # fmt: skip

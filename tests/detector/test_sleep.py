"""A machine that slept accuses nobody: CLOCK_BOOTTIME goes on meanwhile, CLOCK_MONOTONIC does not."""

from __future__ import annotations

import pytest

from loophound.detector.adapters.sleep import LEAST_NS, MachineSleep
from loophound.detector.facts import MachineSlept, Waiting
from loophound.detector.records import Cause
from tests.detector.facts import MS, World


class Clocks:
    """How far the clock that counts sleep is ahead, and for how long the reader waited for a CPU between readings."""

    def __init__(self) -> None:
        self.ahead_ns = 5_000 * MS
        self.waited_ns = 0

    def __call__(self) -> tuple[int, int]:
        return self.ahead_ns - self.waited_ns, self.ahead_ns


def test_a_sleep_is_told_once_with_the_looks_before_and_after_it() -> None:
    clocks = Clocks()
    machine = MachineSleep(clocks)
    assert machine.slept(100 * MS) is None
    clocks.ahead_ns += 3_600_000 * MS
    assert machine.slept(120 * MS) == MachineSlept(100 * MS, 120 * MS)
    assert machine.slept(140 * MS) is None


@pytest.mark.parametrize("waited_ms", [1, 15, 500])
def test_a_reader_that_waits_for_a_cpu_takes_that_for_no_sleep(waited_ms: int) -> None:
    clocks = Clocks()
    machine = MachineSleep(clocks)
    for waited_ns in (0, waited_ms * MS, 0, 0):
        clocks.waited_ns = waited_ns
        assert machine.slept(100 * MS) is None


def test_what_is_shorter_than_can_be_told_is_none() -> None:
    clocks = Clocks()
    machine = MachineSleep(clocks)
    clocks.ahead_ns += LEAST_NS - 1
    assert machine.slept(1) is None


@pytest.mark.parametrize(
    "doing",
    [{"waiting": Waiting("recvfrom", "tcp 127.0.0.1:5432")}, {"cpu": 1.0}, {"cpu": 1.0, "gil_held": True}],
    ids=["io", "cpu", "native"],
)
def test_a_silence_in_which_the_machine_slept_is_suspended_whatever_else_was_seen(doing: dict[str, object]) -> None:
    world = World().rests(200).does(300, **doing)
    awake = World().rests(200).does(300, **doing)
    world.sleeps_at_ms = 350
    finding = world.finding()
    assert (finding.cause, finding.culprit) == (Cause.SUSPENDED, None)
    assert awake.finding().cause is not Cause.SUSPENDED


def test_a_stall_long_after_the_sleep_is_one() -> None:
    world = World().rests(200).does(300, cpu=1.0)
    world.sleeps_at_ms = 20
    assert world.finding().cause is Cause.NATIVE

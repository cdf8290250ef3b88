from __future__ import annotations

from pathlib import Path

import pytest

from loophound.demo import sizes
from loophound.demo.sizes import exponential_size, linear_size, undisturbed_time_s


class Machine:
    """A machine whose clock moves only by the work that it is given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 0.0
        monkeypatch.setattr(sizes, "undisturbed_time_s", lambda: self.now_s)

    def linear(self, unit_s: float):
        def work(units: int) -> None:
            self.now_s += units * unit_s

        return work

    def doubling(self, unit_s: float):
        def work(units: int) -> None:
            self.now_s += unit_s * 2**units

        return work


@pytest.mark.parametrize("unit_s", [1e-8, 1e-6, 1e-4, 3e-3])
def test_linear_work_is_scaled_to_the_target(monkeypatch: pytest.MonkeyPatch, unit_s: float) -> None:
    units = linear_size(Machine(monkeypatch).linear(unit_s), target_s=0.35)
    assert units * unit_s == pytest.approx(0.35, rel=0.01)


def test_work_of_one_slow_unit_is_done_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert linear_size(Machine(monkeypatch).linear(2.0), target_s=0.35) == 1


@pytest.mark.parametrize("unit_s", [1e-9, 3e-8, 1e-7])
def test_doubling_work_comes_within_a_factor_of_the_target(monkeypatch: pytest.MonkeyPatch, unit_s: float) -> None:
    units = exponential_size(Machine(monkeypatch).doubling(unit_s), target_s=0.35)
    assert 0.35 / 2**0.5 <= unit_s * 2**units <= 0.35 * 2**0.5


def test_calibration_itself_is_cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    linear_size(machine.linear(1e-7))
    exponential_size(machine.doubling(1e-8))
    assert machine.now_s < 0.5


def test_a_trial_that_was_disturbed_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    trials = iter([50.0])

    def work(units: int) -> None:
        machine.now_s += units * 1e-4 + next(trials, 0.0)

    assert linear_size(work, target_s=0.35) == pytest.approx(3500, rel=0.01)


def test_the_wait_for_a_cpu_does_not_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    schedstat = tmp_path / "schedstat"
    monkeypatch.setattr(sizes, "SCHEDSTAT", schedstat)
    monkeypatch.setattr(sizes.time, "perf_counter", lambda: 100.0)
    schedstat.write_text("5000000000 2500000000 77\n")
    assert undisturbed_time_s() == 97.5


def test_wall_time_where_the_kernel_does_not_tell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sizes, "SCHEDSTAT", tmp_path / "absent")
    monkeypatch.setattr(sizes.time, "perf_counter", lambda: 100.0)
    assert undisturbed_time_s() == 100.0

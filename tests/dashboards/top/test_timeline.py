"""Two minutes of a value, a second each."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loophound.dashboards.top.timeline import LENGTH_S, Timeline, condensed


def test_a_second_keeps_its_largest_value() -> None:
    line = Timeline()
    for now_s, value in ((10.0, 0.1), (10.2, 0.5), (10.9, 0.2), (12.0, 0.3)):
        line.note(now_s, value)
    assert line.values(12.5)[-4:] == [None, 0.5, None, 0.3]
    assert len(line.values(12.5)) == LENGTH_S


def test_what_is_older_than_two_minutes_is_forgotten() -> None:
    line = Timeline()
    for second in range(1000):
        line.note(float(second), float(second))
    assert line.values(999.0) == [float(second) for second in range(880, 1000)]
    assert line.values(2000.0) == [None] * LENGTH_S


def test_history_comes_before_what_is_noted() -> None:
    line = Timeline()
    line.begin(100.0, 1.0, [0.1, None, 0.3])
    line.note(101.0, 0.4)
    assert line.values(101.0)[-4:] == [0.1, None, 0.3, 0.4]


def test_a_clock_that_steps_back_loses_nothing() -> None:
    line = Timeline()
    line.note(10.0, 0.1)
    line.note(9.0, 0.7)
    assert line.values(10.0)[-1] == 0.7


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # other loads take the CPU
@given(st.lists(st.none() | st.floats(0, 10), min_size=1, max_size=LENGTH_S), st.integers(1, 130))
def test_the_largest_value_survives_in_any_width(values: list[float | None], width: int) -> None:
    short = condensed(values, width)
    assert len(short) <= width
    known = [value for value in values if value is not None]
    assert max((value for value in short if value is not None), default=None) == max(known, default=None)

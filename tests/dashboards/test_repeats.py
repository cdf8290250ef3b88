from __future__ import annotations

from loophound.dashboards.repeats import Repeats, Telling
from tests.stalls import stall


def test_memory_is_bounded_and_totals_stay_right() -> None:
    repeats = Repeats(capacity=3)
    for number in range(10):
        repeats.add(stall(fingerprint=str(number), duration_s=0.5 + number))
    groups = repeats.groups()
    assert len(groups) == 4
    assert groups[-1].subject == "others"
    assert (groups[-1].times, groups[-1].worst_s) == (7, 6.5)
    assert sum(group.times for group in groups) == 10
    assert sum(group.total_s for group in groups) == 50.0


def test_a_group_that_keeps_coming_is_kept() -> None:
    repeats = Repeats(capacity=2)
    repeats.add(stall(fingerprint="busy"))
    for number in range(5):
        repeats.add(stall(fingerprint=str(number)))
        telling, group = repeats.add(stall(fingerprint="busy"))
        assert telling is not Telling.FULL
    assert group.times == 6


def test_an_announcement_is_made_when_its_end_will_be_told() -> None:
    repeats = Repeats()
    announced, told = [], []
    for _ in range(16):
        announced.append(repeats.announces(stall(ongoing=True)))
        told.append(repeats.add(stall())[0] is not Telling.SILENT)
    assert announced == told
    assert sum(told) == 5

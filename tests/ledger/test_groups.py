from __future__ import annotations

import random

import pytest

from loophound.detector.records import Cause, Request, StackFrame
from loophound.ledger.compare import Verdict, compare
from loophound.ledger.groups import MOST_FRAMES, Groups, at_s, cut, slim
from loophound.ledger.histogram import LAST_BUCKET, SMALLEST_S, Histogram
from tests.stalls import STACK, stall


def grouped(*durations_s: float, fingerprint: str = "a") -> Groups:
    groups = Groups()
    for duration_s in durations_s:
        groups.add(stall(duration_s=duration_s, fingerprint=fingerprint))
    return groups


@pytest.mark.parametrize("share", [0.01, 0.5, 0.9, 0.99, 1.0])
def test_percentiles_are_right_to_five_percent(share: float) -> None:
    durations_s = sorted(random.Random(7).lognormvariate(-1.5, 1.2) for _ in range(1000))
    histogram = Histogram()
    for duration_s in durations_s:
        histogram.add(duration_s)
    assert histogram.percentile(share) == pytest.approx(durations_s[round(share * 1000) - 1], rel=0.05)


def test_a_histogram_is_bounded_at_both_ends() -> None:
    histogram = Histogram()
    for duration_s in (0.0, 1e-9, SMALLEST_S, 1e5, 1e300):
        histogram.add(duration_s)
    assert histogram.to_dict() == {"0": 3, str(LAST_BUCKET): 2}


def test_histograms_add_up_and_come_back_from_json() -> None:
    [low], [high] = grouped(0.1, 0.2), grouped(0.4)
    low.histogram.merge(high.histogram)
    [both] = grouped(0.1, 0.2, 0.4)
    assert Histogram.from_dict(low.histogram.to_dict()).to_dict() == both.histogram.to_dict()


@pytest.mark.parametrize("bad", [{"x": 1}, {"-1": 1}, {"999": 1}, {"1": "2"}, [1]])
def test_a_broken_histogram_is_refused(bad: object) -> None:
    with pytest.raises(ValueError, match=r"histogram|literal"):
        Histogram.from_dict(bad)


def test_sums_of_a_group() -> None:
    groups = Groups()
    groups.add(stall(id="late", at="2026-11-22T05:00:00.000Z", duration_s=0.5, victims=3))
    groups.add(stall(id="early", at="2026-11-22T04:00:00.000Z", duration_s=0.25, request=None))
    [group] = groups
    assert (group.count, group.total_s, group.worst_s, group.mean_s, group.victims) == (2, 0.75, 0.5, 0.375, 40)
    assert group.last_at_s - group.first_at_s == 3600
    assert group.latest.id == "late"
    assert group.requests == {"GET /show/{id}": 1}
    assert group.stack_s == {STACK: 0.75}
    assert group.percentile(1.0) <= group.worst_s


def test_the_latest_records_are_kept() -> None:
    groups = Groups()
    for minute in (5, 1, 4, 2, 3):
        groups.add(stall(id=str(minute), at=f"2026-11-22T04:0{minute}:00.000Z"))
    [group] = groups
    assert [record.id for record in group.records] == ["3", "4", "5"]


def test_merged_groups_are_the_groups_of_all() -> None:
    [one], [other], [all_of_them] = grouped(0.1, 0.9), grouped(0.3), grouped(0.1, 0.9, 0.3)
    one.merge(other)
    assert (one.count, one.worst_s, one.victims) == (3, 0.9, all_of_them.victims)
    assert one.total_s == pytest.approx(all_of_them.total_s)
    assert one.stack_s == pytest.approx(all_of_them.stack_s)
    assert one.requests == all_of_them.requests


def test_what_began_before_is_seen_but_not_counted() -> None:
    late = stall(at="2026-11-22T06:00:00Z")
    groups = Groups(since_s=at_s(late))
    groups.add(stall(at="2026-11-22T04:00:00Z"))
    groups.add(stall(at="2026-11-22T04:00:00Z", fingerprint="only before"))
    groups.add(late)
    [group] = groups
    assert (group.count, group.last_at_s - group.first_at_s) == (1, 7200)


def test_a_route_names_the_request_and_a_path_where_there_is_none() -> None:
    groups = Groups()
    groups.add(stall(request=Request(None, "POST", "/pay/7", None, None)))
    [group] = groups
    assert group.requests == {"POST /pay/7": 1}


def test_a_deep_stack_loses_its_middle() -> None:
    deep = tuple(StackFrame("f.py", number, "f", app=True) for number in range(1000))
    kept = cut(deep)
    assert len(kept) == MOST_FRAMES
    assert (kept[0], kept[-1]) == (deep[0], deep[-1])
    assert slim(stall(stack=deep)).stack == kept
    assert slim(stall()) == stall()


def runs(before: dict[str, float], now: dict[str, float]) -> list[tuple[str, str]]:
    def groups(run: dict[str, float]) -> Groups:
        made = Groups()
        for name, total_s in run.items():
            made.add(stall(fingerprint=name, duration_s=total_s, cause=Cause.CPU))
        return made

    return [(change.verdict.value, change.group.fingerprint) for change in compare(groups(now), groups(before))]


def test_two_runs_compared() -> None:
    before = {"gone": 1.0, "better": 1.0, "same": 1.0, "worse": 1.0, "tiny": 0.004}
    now = {"better": 0.5, "same": 1.19, "worse": 1.3, "worst": 9.0, "new": 0.2, "newer": 0.4, "tiny": 0.012}
    assert runs({**before, "worst": 1.0}, now) == [
        (Verdict.NEW, "newer"), (Verdict.NEW, "new"), (Verdict.WORSE, "worst"), (Verdict.WORSE, "worse"),
        (Verdict.SAME, "same"), (Verdict.SAME, "tiny"), (Verdict.BETTER, "better"), (Verdict.GONE, "gone"),
    ]  # fmt: skip

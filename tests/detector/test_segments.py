from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from loophound.detector.episode import Span
from loophound.detector.facts import Source
from loophound.detector.portrait import portray
from loophound.detector.segments import IDLE, cut, unit_of, weigh
from tests.detector.facts import HANDLER, HELPER, MS, episode_of, sampled


def spans_ms(weighed: list) -> list[tuple[float, float]]:  # type: ignore[type-arg]
    return [(w.span.began_ns / MS, w.span.ended_ns / MS) for w in weighed]


def test_a_sample_stands_for_the_time_to_its_neighbours() -> None:
    episode = episode_of([sampled(20, HANDLER), sampled(40, HANDLER), sampled(100, HANDLER)])
    assert spans_ms(weigh(episode, 200 * MS)) == [(5, 30), (30, 70), (70, 200)]


def test_samples_of_two_watchers_are_merged_by_time() -> None:
    late = sampled(30, HELPER, source=Source.OBSERVER)
    episode = episode_of([sampled(20, HANDLER), sampled(40, HANDLER), late])
    assert [w.sample.at_ns // MS for w in weigh(episode, 100 * MS)] == [20, 30, 40]


def test_the_first_sample_after_an_absence_does_not_stand_for_it() -> None:
    episode = episode_of([sampled(20, HANDLER), sampled(301, HELPER)])
    episode.add_unseen(Span(30 * MS, 300 * MS))
    assert spans_ms(weigh(episode, 310 * MS)) == [(5, 300), (300, 310)]


def test_samples_after_the_end_and_before_the_beginning_do_not_count() -> None:
    episode = episode_of([sampled(at_ms, HANDLER) for at_ms in (20, 60, 250)], beat_ms=50, due_ms=60)
    assert spans_ms(weigh(episode, 200 * MS)) == [(55, 200)]


def test_what_was_seen_while_nobody_asked_has_no_weight() -> None:
    episode = episode_of([sampled(40, HANDLER), sampled(90, HANDLER), sampled(150, HELPER), sampled(190, HELPER)])
    episode.unasked_ns = 125 * MS
    assert spans_ms(weigh(episode, 200 * MS)) == [(130, 170), (170, 200)]


def test_no_samples_have_no_weight() -> None:
    assert weigh(episode_of([]), 100 * MS) == []


@pytest.mark.parametrize("count", [1, 2, 50])
def test_the_weights_add_up_to_the_whole(count: int) -> None:
    episode = episode_of([sampled(20 + 3 * n, HANDLER) for n in range(count)])
    weighed = weigh(episode, 400 * MS)
    assert sum(w.span.length_ns for w in weighed) == 395 * MS
    assert all(a.span.ended_ns == b.span.began_ns for a, b in itertools.pairwise(weighed))


def test_consecutive_samples_of_one_unit_are_one_segment() -> None:
    samples = [
        sampled(20, HANDLER, unit=1), sampled(30, HELPER, unit=1), sampled(40, HANDLER, unit=2),
        sampled(50), sampled(60, HANDLER, unit=1),
    ]  # fmt: skip
    segments = cut(weigh(episode_of(samples), 70 * MS))
    assert [(s.key, len(s.parts)) for s in segments] == [(1, 2), (2, 1), (IDLE, 1), (1, 1)]
    assert segments[0].span == Span(5 * MS, 35 * MS)


def test_outside_tasks_the_callbacks_function_is_the_unit() -> None:
    assert unit_of(sampled(20, HANDLER, HELPER)) == (HANDLER.file, HANDLER.function, 0)
    assert unit_of(sampled(20, HANDLER, HELPER, unit=7)) == 7
    assert unit_of(sampled(20)) == IDLE


def test_a_stack_cut_off_below_its_base_still_has_a_unit() -> None:
    sample = replace(sampled(20, HANDLER), base=99)
    assert unit_of(sample) == (HANDLER.file, HANDLER.function, 0)


def portrait(*samples, **fields):  # type: ignore[no-untyped-def]
    episode = episode_of(samples, **fields)
    return portray(episode, weigh(episode, 205 * MS), Span(5 * MS, 205 * MS), 100 * MS)


def test_cpu_shares_are_interpolated_between_readings() -> None:
    samples = [sampled(at_ms, HANDLER, cpu_ns=cpu_ms * MS) for at_ms, cpu_ms in ((50, 50), (105, 105), (150, 105))]
    assert portrait(*samples, cpu_ns=0, ended_ns=205 * MS, ended_cpu_ns=105 * MS).cpu == pytest.approx(0.5)


def test_a_reading_that_falls_says_nothing() -> None:
    samples = [sampled(50, HANDLER, cpu_ns=50 * MS), sampled(100, HANDLER, cpu_ns=20 * MS)]
    assert portrait(*samples, cpu_ns=0, ended_ns=205 * MS, ended_cpu_ns=205 * MS).cpu == pytest.approx(1.0)


def test_figures_that_nobody_read_are_none() -> None:
    measured = portrait(sampled(50, HANDLER), sampled(100, HANDLER))
    assert (measured.cpu, measured.others_cpu, measured.runqueue, measured.runqueue_ns) == (None, None, None, None)
    assert measured.busy is None
    assert measured.source is Source.WATCHDOG


def test_a_few_instructions_seen_from_outside_outweigh_many_from_inside() -> None:
    outside = [sampled(20 + 10 * n, HANDLER, source=Source.OBSERVER) for n in range(3)]
    inside = [sampled(60 + n, HELPER._replace(instruction=n)) for n in range(20)]
    measured = portrait(*outside, *inside)
    assert measured.standing == 1.0
    assert measured.from_outside
    assert portrait(*inside).standing < 0.8

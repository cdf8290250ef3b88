"""The machine on a clock made of numbers."""

from __future__ import annotations

from itertools import pairwise

import pytest

from loophound.detector.episode import MOST_COLLECTIONS, MOST_GAPS, MOST_SAMPLES, Episode, Span
from loophound.detector.facts import Collected, LoopBeat, LoopStopped, Sampled, Source, Ticked
from loophound.detector.machine import (
    GRACE_NS,
    ONGOING_NS,
    AskForBeat,
    CaptureStack,
    LoopMachine,
    StallEnded,
    StallWentOn,
    State,
)
from tests.detector.facts import HANDLER, MS, World, sampled

INTERVAL_MS = {10: 2, 50: 10, 100: 20, 1000: 100}  # as the detector sets them
PHASES = [(threshold, phase) for threshold, interval in INTERVAL_MS.items() for phase in range(interval + 1)]


def machine(threshold_ms: float = 100, interval_ms: float = 10) -> LoopMachine:
    return LoopMachine(
        threshold_ns=round(threshold_ms * MS), interval_ns=round(interval_ms * MS), beat=LoopBeat(0, 0, 0)
    )


def tick(at_ms: float, deprived_ms: float = 0) -> Ticked:
    return Ticked(round(at_ms * MS), round(deprived_ms * MS))


def beat(at_ms: float) -> LoopBeat:
    return LoopBeat(round(at_ms * MS), 0, 0)


def test_the_states_of_a_stall() -> None:
    watched = machine()
    seen = []
    for at_ms in (4, 10, 20, 30, 110):
        watched.feed(tick(at_ms))
        seen.append(watched.state)
    assert seen == [State.RESTING, State.ASKED, State.OVERDUE, State.OVERDUE, State.STALLED]
    watched.feed(beat(130))
    assert watched.state is State.RESTING
    watched.feed(LoopStopped(135 * MS, 0, 0))
    assert watched.state is State.STOPPED


def test_a_loop_that_answers_is_asked_again_and_never_sampled() -> None:
    world = World().rests(2000).play()
    items = [item for _, item in world.happened]
    assert {type(item) for item in items} == {AskForBeat}
    assert len(items) > 50


def test_a_beat_is_asked_for_once() -> None:
    world = World().rests(50).does(1500).play()
    asked = [at_ns for at_ns, item in world.happened if isinstance(item, AskForBeat) and 75 * MS < at_ns < 1540 * MS]
    assert asked == []


def test_samples_are_taken_while_it_is_overdue_and_no_more_after() -> None:
    world = World().rests(50).does(300).rests(500).play()
    taken = [at_ns / MS for at_ns, item in world.happened if isinstance(item, CaptureStack)]
    assert 50 < taken[0] < 100
    assert 335 < taken[-1] <= 355


@pytest.mark.parametrize(("threshold_ms", "phase_ms"), PHASES)
@pytest.mark.parametrize("oversleep_ms", [0, 0.08])
def test_20_percent_over_the_threshold_is_seen_at_every_phase(
    threshold_ms: int, phase_ms: int, oversleep_ms: float
) -> None:
    world = World(threshold_ms, INTERVAL_MS[threshold_ms], oversleep_ms=oversleep_ms)
    [episode] = world.rests(3 * INTERVAL_MS[threshold_ms] + phase_ms).does(threshold_ms * 1.2).play().stalls
    assert episode.ended_ns is not None
    assert abs(episode.ended_ns - episode.began_ns - threshold_ms * 1.2 * MS) <= episode.error_ns + 1.5 * MS


@pytest.mark.parametrize(("threshold_ms", "phase_ms"), PHASES)
@pytest.mark.parametrize("oversleep_ms", [0, 0.08])
def test_20_percent_under_the_threshold_is_never_seen(threshold_ms: int, phase_ms: int, oversleep_ms: float) -> None:
    world = World(threshold_ms, INTERVAL_MS[threshold_ms], oversleep_ms=oversleep_ms)
    assert not world.rests(3 * INTERVAL_MS[threshold_ms] + phase_ms).does(threshold_ms * 0.8).play().stalls


@pytest.mark.parametrize("phase_ms", range(11))
def test_a_watchdog_kept_away_by_the_gil_counts_the_stall_all_the_same(phase_ms: int) -> None:
    world = World(observer=False).rests(30 + phase_ms).does(250, gil_held=True, cpu=1.0).play()
    [episode] = world.stalls
    assert episode.ended_ns is not None
    assert 0 <= episode.ended_ns - (30 + phase_ms + 250) * MS < MS
    [unseen] = episode.unseen
    assert unseen.length_ns > 220 * MS
    assert abs(unseen.ended_ns - episode.ended_ns) < MS


def test_a_watchdog_late_by_less_than_the_slack_has_seen_all() -> None:
    world = World(observer=False, oversleep_ms=8).rests(30).does(300).play()
    assert [episode.unseen for episode in world.stalls] == [[]]


def test_a_watchdog_without_a_cpu_has_not_been_kept_away() -> None:
    watched = machine()
    watched.feed(tick(10))
    watched.feed(tick(20))
    watched.feed(tick(230, deprived_ms=195))
    watched.feed(tick(240))
    watched.feed(tick(450, deprived_ms=20))
    assert watched.episode.unseen == [Span(245 * MS, 450 * MS)]


def test_a_loop_that_nobody_asked_for_want_of_a_cpu_is_not_silent() -> None:
    watched = machine()
    watched.feed(tick(8))
    watched.feed(beat(9))
    watched.feed(tick(318, deprived_ms=300))
    watched.feed(beat(319))
    assert not [item for at_ms in range(330, 500, 10) for item in watched.feed(tick(at_ms)) if type(item) is StallEnded]


def test_a_loop_that_does_not_answer_a_watchdog_back_from_want_of_a_cpu_is_stalled() -> None:
    watched = machine()
    watched.feed(tick(8))
    watched.feed(beat(9))
    watched.feed(tick(118, deprived_ms=100))
    watched.feed(beat(419))
    [episode] = [item.episode for at_ms in range(430, 600, 10) for item in watched.feed(tick(at_ms))
                 if isinstance(item, StallEnded)]  # fmt: skip
    assert episode.began_ns >= 109 * MS


def test_a_loop_that_stops_within_a_stall_is_reported() -> None:
    world = World(stops_at_ms=350).rests(50).does(300).play()
    [episode] = world.stalls
    assert episode.ended_ns == 350 * MS
    assert world.machine.finished
    assert world.machine.state is State.STOPPED


def test_a_loop_that_stops_at_rest_is_not_reported() -> None:
    world = World(stops_at_ms=300).rests(300).play()
    assert not world.stalls
    assert world.machine.finished


def test_nothing_follows_a_stop() -> None:
    watched = machine()
    watched.feed(LoopStopped(5 * MS, 0, 0))
    watched.feed(beat(500))
    watched.feed(LoopStopped(900 * MS, 0, 0))
    assert [watched.feed(tick(at_ms)) for at_ms in (500, 1000, 1100)] == [[], [], []]
    assert watched.state is State.STOPPED


def test_a_stall_waits_a_grace_for_late_samples_of_the_observer() -> None:
    watched = machine()
    for at_ms in (10, 30, 120):
        watched.feed(tick(at_ms))
    watched.feed(beat(200))
    assert watched.watchful
    assert not [item for item in watched.feed(tick(210)) if isinstance(item, StallEnded)]
    late = sampled(150, HANDLER, source=Source.OBSERVER)
    watched.feed(late)
    after = sampled(205, HANDLER, source=Source.OBSERVER)  # of the next silence
    watched.feed(after)
    ended = watched.feed(Ticked(200 * MS + GRACE_NS, 0))
    [stall] = [item for item in ended if isinstance(item, StallEnded)]
    assert late in stall.episode.samples
    assert after not in stall.episode.samples


def test_two_stalls_within_a_grace_are_two() -> None:
    world = World().rests(40).does(150).rests(3).does(150).play()
    first, second = world.stalls
    assert first.ended_ns is not None
    assert first.ended_ns <= second.beat_ns


def test_a_stall_is_announced_once_after_a_second() -> None:
    world = World().rests(50).does(5000).play()
    [(at_ns, announcement)] = world.announcements
    assert 1040 * MS <= at_ns <= 1080 * MS
    assert announcement.episode.ended_ns is not None  # by now: it is the one that ended
    assert world.stalls == [announcement.episode]


def test_a_stall_just_over_a_second_is_announced_and_one_under_is_not() -> None:
    assert World().rests(50).does(1050).play().announcements
    assert not World().rests(50).does(980).play().announcements


def test_a_watchdog_that_has_just_come_back_announces_nothing() -> None:
    assert not World().rests(50).does(3000, gil_held=True).play().announcements


def test_a_watchdog_that_came_back_announces_what_goes_on() -> None:
    [(at_ns, _)] = World().rests(50).does(1500, gil_held=True).does(500).play().announcements
    assert 1550 * MS < at_ns < 1600 * MS


def test_a_year_long_stall_takes_bounded_memory() -> None:
    watched = machine()
    year_ms, at_ms, captured = 365 * 24 * 3600 * 1000, 10.0, 0
    while at_ms < year_ms:
        for item in watched.feed(tick(at_ms)):
            if isinstance(item, CaptureStack):
                captured += 1
                watched.feed(sampled(at_ms, HANDLER))
        at_ms += max(10.0, at_ms / 200)  # more ticks between would only be refused
    assert 1000 < captured < 5000
    assert len(watched.episode.samples) <= MOST_SAMPLES
    assert len(watched.episode.unseen) <= MOST_GAPS


def test_thinned_samples_keep_the_first_the_last_and_their_spread() -> None:
    episode = Episode(0, 10 * MS)
    for at_ms in range(20, 20 + 3 * MOST_SAMPLES):
        episode.add_sample(sampled(at_ms, HANDLER))
    times = [sample.at_ns // MS for sample in episode.samples]
    assert len(times) <= MOST_SAMPLES
    assert (times[0], times[-1]) == (20, 19 + 3 * MOST_SAMPLES)
    assert times == sorted(times)
    assert max(b - a for a, b in pairwise(times)) <= 16


def test_of_too_many_gaps_the_longest_are_kept() -> None:
    episode = Episode(0, 10 * MS)
    for number in range(2 * MOST_GAPS):
        episode.add_unseen(Span(number * 100 * MS, (number * 100 + 20 + number % 2) * MS))
    assert len(episode.unseen) == MOST_GAPS
    assert {span.length_ns for span in episode.unseen} == {21 * MS}


def test_of_too_many_collections_the_longest_are_kept() -> None:
    episode = Episode(0, 10 * MS)
    for number in range(2 * MOST_COLLECTIONS):
        episode.add_collection(Collected(number * 100 * MS, (number * 100 + 20 + number % 2) * MS, 2, 0))
    assert {c.ended_ns - c.began_ns for c in episode.collections} == {21 * MS}
    assert len(episode.collections) == MOST_COLLECTIONS


def test_a_collection_is_filed_with_the_silence_that_it_shares_time_with() -> None:
    watched = machine()
    watched.feed(tick(10))
    collection = Collected(20 * MS, 180 * MS, 2, 0)
    watched.feed(collection)
    watched.feed(beat(190))
    watched.feed(Collected(191 * MS, 195 * MS, 0, 0))
    [stall] = [item for item in watched.feed(tick(250)) if isinstance(item, StallEnded)]
    assert stall.episode.collections == [collection]


def test_a_sample_from_before_the_loop_was_watched_is_nobodys() -> None:
    watched = LoopMachine(threshold_ns=100 * MS, interval_ns=10 * MS, beat=beat(1000))
    watched.feed(sampled(500, HANDLER))
    assert watched.episode.samples == []
    assert isinstance(sampled(500), Sampled)


def test_the_pause_between_samples_grows_with_the_stall() -> None:
    world = World().rests(20).does(20_000).play()
    taken = [at_ns for at_ns, item in world.happened if isinstance(item, CaptureStack)]
    assert 100 < len(taken) < 600
    assert taken[-1] - taken[0] > ONGOING_NS
    assert taken[-1] - taken[-2] > 5 * (taken[1] - taken[0])
    assert not [item for _, item in world.happened if isinstance(item, StallWentOn)][1:]


def test_a_first_look_that_was_to_come_late_makes_no_lag() -> None:
    machine = LoopMachine(threshold_ns=100 * MS, interval_ns=20 * MS, beat=LoopBeat(MS, 0, 0), pace_ns=70 * MS)
    assert AskForBeat() in machine.feed(Ticked(71 * MS))
    machine.feed(LoopBeat(71 * MS + 100_000, 0, 0))
    assert machine.stats.lag.largest_ns == 100_000
    assert machine.stats.found_busy_ns == 0

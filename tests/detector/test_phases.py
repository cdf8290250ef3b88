"""Stalls and lags at every phase of the heartbeat, in numbers: a loop and a watchdog on one fake clock."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from loophound.detector.facts import LoopBeat, SeenAlive, Source, Ticked
from loophound.detector.machine import DROWSY, DROWSY_AFTER_NS, AskForBeat, CaptureStack, LoopMachine, StallEnded, State
from tests.detector.facts import HANDLER, sampled

MS = 1_000_000


def run(
    busy: Callable[[int], int], *, threshold_ms: int, for_ms: int, phase_ns: int = 0
) -> tuple[LoopMachine, list[int]]:
    """`busy(t)` is when the loop turns next after t. Gives the machine and the durations of the stalls, in ns."""
    interval_ns = max(threshold_ms * MS // 5, 2 * MS)
    machine = LoopMachine(threshold_ns=threshold_ms * MS, interval_ns=interval_ns, beat=LoopBeat(phase_ns, 0, 0))
    now_ns, answer_ns, stalls = phase_ns, 0, []
    while now_ns < for_ms * MS:
        now_ns += machine.pace_ns
        if answer_ns and answer_ns <= now_ns:
            machine.feed(LoopBeat(answer_ns, 0, 0))
            answer_ns = 0
        for item in machine.feed(Ticked(now_ns)):
            if isinstance(item, AskForBeat):
                answer_ns = busy(now_ns) + 20_000
            elif isinstance(item, StallEnded):
                stalls.append((item.episode.ended_ns or 0) - item.episode.began_ns)
    return machine, stalls


def one_block(began_ms: int, length_ms: float) -> Callable[[int], int]:
    end_ns = began_ms * MS + int(length_ms * MS)
    return lambda at_ns: end_ns if began_ms * MS <= at_ns < end_ns else at_ns


@pytest.mark.parametrize("threshold_ms", [10, 20, 50, 100, 500])
def test_a_fifth_over_the_threshold_is_seen_at_every_phase_and_a_fifth_under_never(threshold_ms: int) -> None:
    interval_ns = max(threshold_ms * MS // 5, 2 * MS)
    for step in range(48):
        phase_ns = step * interval_ns // 48
        over = one_block(10 * threshold_ms, 1.2 * threshold_ms)
        under = one_block(10 * threshold_ms, 0.8 * threshold_ms)
        _, seen = run(over, threshold_ms=threshold_ms, for_ms=20 * threshold_ms, phase_ns=phase_ns)
        assert len(seen) == 1, (threshold_ms, step)
        _, seen = run(under, threshold_ms=threshold_ms, for_ms=20 * threshold_ms, phase_ns=phase_ns)
        assert seen == [], (threshold_ms, step)


def test_ten_callbacks_of_10_ms_in_one_turn_show_in_the_lag() -> None:
    period_ns, busy_ns = 500 * MS, 95 * MS
    machine, _ = run(
        lambda at_ns: max(at_ns, at_ns - at_ns % period_ns + busy_ns),
        threshold_ms=100,
        for_ms=20_000,
    )
    assert machine.stats.lag.largest_ns >= 70 * MS
    assert machine.stats.lag.percentile_ns(99) >= 40 * MS


@pytest.mark.parametrize("offset_ms", [0, 5, 10, 15])
@pytest.mark.parametrize("period_ms", [18, 20])
def test_blocks_in_step_with_the_watchdog_show_all_the_same(offset_ms: int, period_ms: int) -> None:
    """10 ms of each period, whatever the phase: half the time busy, and lags of up to 10 ms."""

    def busy(at_ns: int) -> int:
        into = (at_ns - offset_ms * MS) % (period_ms * MS)
        return at_ns if into >= 10 * MS else at_ns - into + 10 * MS

    machine, stalls = run(busy, threshold_ms=100, for_ms=60_000)
    assert stalls == []
    assert 8 * MS <= machine.stats.lag.largest_ns <= 11 * MS
    assert machine.stats.lag.percentile_ns(90) >= 5 * MS
    assert 0.3 <= machine.stats.found_busy_ns / machine.stats.watched_ns <= 0.75


def durations(block: tuple[int, int], *, threshold_ms: int, phase_ns: int, before: str, gil_held: bool) -> list[int]:
    """As `run`, of a loop that keeps when its turns began: in whole milliseconds, as libuv does.

    `before` is what it did until it blocked: "rests" and "turns" show without asking, "asked" does not. Who "drowses"
    has rested for long.
    """
    interval_ns = max(threshold_ms * MS // 5, 2 * MS)
    began_ns, ended_ns = block
    turned_ns = began_ns // MS * MS + MS // 2
    machine = LoopMachine(threshold_ns=threshold_ms * MS, interval_ns=interval_ns, beat=LoopBeat(phase_ns, 0, 0))
    machine.tells_turns = True
    now_ns, answer_ns, looked_ns, stalls = phase_ns, 0, phase_ns, []
    while now_ns < ended_ns + 10 * interval_ns + 100 * MS:
        due_ns = now_ns + machine.pace_ns + 80_000
        now_ns = ended_ns if gil_held and began_ns <= due_ns < ended_ns else due_ns
        blocked = began_ns <= now_ns < ended_ns
        if answer_ns and answer_ns <= now_ns:
            machine.feed(LoopBeat(answer_ns, 0, 0))
            answer_ns = 0
        if now_ns == due_ns and machine.state is State.RESTING and not blocked and before != "asked":
            lag_ns = MS if before == "turns" else 0
            machine.feed(SeenAlive(now_ns - lag_ns, 0, 0, lag_ns))
        while gil_held and looked_ns < now_ns:
            looked_ns += max(2 * MS, interval_ns // 4)
            overdue = looked_ns - machine.episode.due_ns >= max(interval_ns, threshold_ms * MS * 3 // 10)
            if overdue and began_ns <= looked_ns < ended_ns:
                machine.feed(sampled(looked_ns / MS, HANDLER, source=Source.OBSERVER, turned_ns=turned_ns))
        for item in machine.feed(Ticked(now_ns)):
            if isinstance(item, AskForBeat):
                answer_ns = (ended_ns if blocked else now_ns) + 20_000
            elif isinstance(item, CaptureStack) and blocked:
                machine.feed(sampled(now_ns / MS, HANDLER, turned_ns=turned_ns))
            elif isinstance(item, StallEnded):
                stalls.append((item.episode.ended_ns or 0) - item.episode.began_ns)
    return stalls


@pytest.mark.parametrize("gil_held", [False, True], ids=["", "gil held"])
@pytest.mark.parametrize("before", ["rests", "drowses", "turns", "asked"])
@pytest.mark.parametrize("threshold_ms", [10, 20, 50, 100, 500])
def test_a_duration_is_right_within_5_percent_or_5_ms_at_every_phase(
    threshold_ms: int, before: str, gil_held: bool
) -> None:
    for step in range(17):
        phase_ns = step * threshold_ms * MS // 17
        for length in (0.8, 1.2, 1.7):
            length_ns = round(length * threshold_ms * MS)
            began_ns = 10 * threshold_ms * MS + 123_456 + (DROWSY_AFTER_NS if before == "drowses" else 0)
            seen = durations(
                (began_ns, began_ns + length_ns),
                threshold_ms=threshold_ms,
                phase_ns=phase_ns,
                before=before,
                gil_held=gil_held,
            )
            assert len(seen) == (length > 1), (phase_ns, length)
            assert all(abs(ns - length_ns) <= max(length_ns * 0.05, 5 * MS) for ns in seen), (phase_ns, length, seen)


def test_a_loop_that_rests_for_long_is_looked_at_less_often_until_it_turns() -> None:
    machine = LoopMachine(threshold_ns=100 * MS, interval_ns=20 * MS, beat=LoopBeat(MS, 0, 0))
    machine.tells_turns = True
    machine.feed(SeenAlive(50 * MS, 0, 0, 0))
    awake_ns = machine.longest_pace_ns
    machine.feed(SeenAlive(50 * MS + DROWSY_AFTER_NS, 0, 0, 0))
    assert machine.longest_pace_ns == machine.episode.due_ns - machine.episode.beat_ns == int(awake_ns * DROWSY)
    machine.feed(SeenAlive(90 * MS + DROWSY_AFTER_NS, 0, 0, 4 * MS))
    assert machine.longest_pace_ns == awake_ns
    machine.feed(SeenAlive(190 * MS + DROWSY_AFTER_NS, 0, 0, 0))
    machine.feed(SeenAlive(190 * MS + 2 * DROWSY_AFTER_NS, 0, 0, 0))
    assert machine.longest_pace_ns > awake_ns
    machine.feed(LoopBeat(200 * MS + 2 * DROWSY_AFTER_NS, 0, 0))
    assert machine.longest_pace_ns == awake_ns


def test_a_loop_that_was_seen_to_turn_counts_as_late_as_when_it_last_answered() -> None:
    machine = LoopMachine(threshold_ns=100 * MS, interval_ns=20 * MS, beat=LoopBeat(MS, 0, 0))
    machine.tells_turns = True
    machine.feed(Ticked(20 * MS))
    machine.feed(LoopBeat(20 * MS + 50_000, 0, 0))
    machine.feed(Ticked(40 * MS))
    assert machine.state is State.RESTING
    machine.feed(SeenAlive(45 * MS, 0, 0, 4 * MS))
    assert machine.stats.lag.count == 2
    assert machine.stats.lag.largest_ns == 50_000
    assert machine.stats.watched_ns == 44 * MS


def test_what_was_seen_while_an_answer_is_awaited_changes_nothing() -> None:
    """The question stands: only its answer ends the silence."""
    machine = LoopMachine(threshold_ns=100 * MS, interval_ns=20 * MS, beat=LoopBeat(0, 0, 0))
    machine.tells_turns = True
    machine.feed(Ticked(20 * MS))
    machine.feed(SeenAlive(30 * MS, 0, 0, 0))
    assert (machine.state, machine.episode.beat_ns) == (State.ASKED, 0)

"""For how long a unit of work is held to have blocked, in numbers."""

from __future__ import annotations

from dataclasses import replace

from loophound.detector.episode import Episode
from loophound.detector.facts import Sampled, Source
from loophound.detector.frames import CodeFrame
from loophound.detector.limit import held_by
from tests.detector.facts import HANDLER, LOOP, MS, library

LIMIT = 1000 * MS


def sample(at_ms: float, unit: int = 1, *inner: CodeFrame, **fields: object) -> Sampled:
    made = Sampled(
        at_ns=int(at_ms * MS),
        source=Source.WATCHDOG,
        frames=(*LOOP, HANDLER, *inner),
        base=len(LOOP),
        idle=False,
        unit=unit,
    )
    return replace(made, **fields)  # type: ignore[arg-type]


def held_ms(*samples: Sampled, now_ms: float) -> float | None:
    held = held_by(Episode(0, 20 * MS, samples=list(samples)), int(now_ms * MS), LIMIT)
    return held[1] / MS if held is not None else None


def every_10_ms(began: int, ended: int, **fields: object) -> list[Sampled]:
    return [sample(at, **fields) for at in range(began, ended, 10)]  # type: ignore[arg-type]


def test_one_unit_from_its_first_sample_on() -> None:
    assert held_ms(*every_10_ms(30, 1000), now_ms=1000) == 970


def test_what_ran_before_in_the_same_turn_does_not_count() -> None:
    samples = [*every_10_ms(30, 500, unit=1), *every_10_ms(500, 1000, unit=2)]
    assert held_ms(*samples, now_ms=1000) == 500


def test_another_call_of_one_callback_is_another_unit() -> None:
    samples = [*every_10_ms(30, 900, unit=0, turn=4), *every_10_ms(900, 1000, unit=0, turn=6)]
    assert held_ms(*samples, now_ms=1000) == 100


def test_a_loop_at_rest_is_nobodys_doing() -> None:
    assert held_ms(*every_10_ms(30, 900, idle=True), now_ms=1000) is None


def test_too_few_samples_say_nothing() -> None:
    assert held_ms(sample(30), sample(900), now_ms=2000) is None


def test_of_a_time_in_which_nobody_looked_little_counts() -> None:
    samples = [*every_10_ms(30, 100), *every_10_ms(5000, 5050)]
    assert held_ms(*samples, now_ms=5050) == 60 + 250 + 50


def test_a_stopped_process_is_not_at_work() -> None:
    samples = [*every_10_ms(30, 100), *every_10_ms(100, 2000, stopped=True), *every_10_ms(2000, 2050)]
    assert held_ms(*samples, now_ms=2050) == 70 + 50


def test_waiting_for_a_cpu_does_not_count() -> None:
    samples = [replace(s, runqueue_ns=s.at_ns // 2) for s in every_10_ms(0, 1000)]
    assert held_ms(*samples, now_ms=1000) == 1000 - 495


def test_a_debugger_is_left_alone() -> None:
    samples = [sample(at, 1, library("bdb", "Bdb.trace_dispatch")) for at in range(30, 2000, 10)]
    assert held_ms(*samples, now_ms=2000) is None

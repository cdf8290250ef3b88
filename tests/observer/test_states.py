from __future__ import annotations

from dataclasses import replace

import pytest

from loophound.detector.facts import Sampled, Source
from loophound.observer.states import LoopState, judge
from tests.detector.facts import HANDLER, sampled

MS = 1_000_000


def seen(*runqueue_ms: int) -> list[Sampled]:
    """Samples each 100 ms, and how long the thread had waited for a CPU by then."""
    return [
        replace(sampled(100 * number, HANDLER, source=Source.OBSERVER), runqueue_ns=waited * MS)
        for number, waited in enumerate(runqueue_ms)
    ]


@pytest.mark.parametrize(
    ("silent_ms", "late", "others", "state"),
    [
        (5, False, {}, LoopState.OK),
        (5, False, {"utilisation": 0.95}, LoopState.BUSY),
        (60, True, {}, LoopState.BUSY),
        (100, True, {}, LoopState.BLOCKED),
        (3000, True, {}, LoopState.BLOCKED),
        (3000, True, {"stopped": True}, LoopState.STOPPED),
        (60, True, {"stopped": True}, LoopState.STOPPED),
        (500, True, {"samples": seen(0, 95, 190, 280)}, LoopState.STARVED),
        (500, True, {"samples": seen(0, 5, 10, 15)}, LoopState.BLOCKED),
        (500, True, {"samples": seen(7)}, LoopState.BLOCKED),
    ],
)
def test_the_state_of_a_loop(silent_ms: int, late: bool, others: dict[str, object], state: LoopState) -> None:
    assert judge(silent_ms * MS, threshold_ns=100 * MS, late=late, **others) is state  # type: ignore[arg-type]

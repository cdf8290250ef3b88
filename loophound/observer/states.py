"""How a loop does, as seen from outside: judged from how long it has been silent. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from loophound.detector.facts import Sampled

# A thread that wanted to run was kept waiting for a CPU for most of the time.
MOSTLY = 0.8
BUSY_UTILISATION = 0.9


class LoopState(StrEnum):
    """The states of the feed, docs/feed.md."""

    OK = "ok"
    BUSY = "busy"  # late, not yet for the length of a stall; or it hardly rests
    BLOCKED = "blocked"
    STARVED = "starved"  # the machine gives it no CPU
    STOPPED = "stopped"  # by a signal or a debugger
    GONE = "gone"


def judge(
    silent_ns: int,
    *,
    threshold_ns: int,
    late: bool,
    stopped: bool = False,
    samples: Sequence[Sampled] = (),
    utilisation: float = 0.0,
) -> LoopState:
    """`silent_ns` is counted from when a stall would begin; `late` means that a beat is overdue."""
    if late and stopped:
        return LoopState.STOPPED
    if silent_ns >= threshold_ns and late:
        return LoopState.STARVED if is_starved(samples) else LoopState.BLOCKED
    return LoopState.BUSY if late or utilisation >= BUSY_UTILISATION else LoopState.OK


def is_starved(samples: Sequence[Sampled]) -> bool:
    """Whether the thread waited for a CPU nearly all the time between the first sample and the last."""
    known = [(sample.at_ns, sample.runqueue_ns) for sample in samples if sample.runqueue_ns is not None]
    if len(known) < 2:
        return False
    (began_ns, before_ns), (ended_ns, after_ns) = known[0], known[-1]
    return ended_ns > began_ns and (after_ns or 0) - (before_ns or 0) >= MOSTLY * (ended_ns - began_ns)

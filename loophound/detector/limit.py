"""For how long the code that runs now has blocked its loop: what the stall limit is held against."""

from __future__ import annotations

from loophound.detector.blame import is_debugging
from loophound.detector.episode import Episode
from loophound.detector.facts import Sampled
from loophound.detector.segments import IDLE, unit_of

# Between two samples further apart than this share of the limit nobody looked: the process was stopped, or
# the machine had no CPU for those who look. Of such a gap no more than the share counts.
LONGEST_GAP = 0.25
ENOUGH_SAMPLES = 4


def held_by(episode: Episode, now_ns: int, limit_ns: int) -> tuple[Sampled, int] | None:
    """The latest sample, and for how long its unit of work has run without a break by then.

    None while too little was seen, where nothing runs, and while a debugger does. Time in which the
    process was stopped or the thread waited for a CPU is not the code's.
    """
    samples = sorted(episode.samples, key=lambda sample: sample.at_ns)
    if len(samples) < ENOUGH_SAMPLES:
        return None
    last = samples[-1]
    unit = unit_of(last)
    if unit == IDLE or is_debugging(last.frames, last.base):
        return None
    held_ns, later, seen = 0, now_ns, 0
    first = last
    for sample in reversed(samples):
        if unit_of(sample) != unit:
            break
        if not sample.stopped:
            held_ns += min(later - sample.at_ns, int(limit_ns * LONGEST_GAP))
        later, first, seen = sample.at_ns, sample, seen + 1
    if seen < ENOUGH_SAMPLES:
        return None
    if last.runqueue_ns is not None and first.runqueue_ns is not None:
        held_ns -= max(0, last.runqueue_ns - first.runqueue_ns)
    return last, held_ns

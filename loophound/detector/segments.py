"""What the loop was running, and for how long each: an episode cut into units of work.

One turn of a loop can run several callbacks. Each sample stands for the time to its
neighbours; consecutive samples of one task, or of one callback, make a segment.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

from loophound.detector.episode import Episode, Span
from loophound.detector.facts import Sampled

IDLE = "idle"


@dataclass(frozen=True, slots=True)
class Weighed:
    """A sample and the stretch of time for which it stands."""

    sample: Sampled
    span: Span


@dataclass(slots=True)
class Segment:
    """One unit of work without a gap."""

    key: Hashable
    parts: list[Weighed] = field(default_factory=list)

    @property
    def span(self) -> Span:
        return Span(self.parts[0].span.began_ns, self.parts[-1].span.ended_ns)


def unit_of(sample: Sampled) -> Hashable:
    """What a sample belongs to: the task where there is one, else the callback: its function, and which call of it."""
    if sample.idle:
        return IDLE
    if sample.unit:
        return sample.unit
    root = sample.frames[min(sample.base, len(sample.frames) - 1)]
    return (root.file, root.function, sample.turn)


def weigh(episode: Episode, until_ns: int) -> list[Weighed]:
    """The samples in order of time, each with its share of [began, until]."""
    began_ns = episode.began_ns
    samples = sorted((s for s in episode.samples if s.at_ns <= until_ns), key=lambda s: s.at_ns)
    # What was seen before the stall can have begun is not a part of it.
    inside = [s for s in samples if s.at_ns >= episode.beat_ns] or samples
    weighed: list[Weighed] = []
    left_ns = began_ns
    for index, sample in enumerate(inside):
        last = index + 1 == len(inside)
        right_ns = until_ns if last else _boundary_ns(episode, sample, inside[index + 1])
        if right_ns > left_ns:
            weighed.append(Weighed(sample, Span(left_ns, right_ns)))
            left_ns = right_ns
    return weighed


def _boundary_ns(episode: Episode, left: Sampled, right: Sampled) -> int:
    """Half way between two samples, unless the watchdog was kept from looking until just
    before the right one: then all that time belongs to the left one.
    """
    middle_ns = (left.at_ns + right.at_ns) // 2
    for span in episode.unseen:
        if left.at_ns < span.ended_ns <= right.at_ns:
            middle_ns = max(middle_ns, span.ended_ns)
    return middle_ns


def cut(weighed: Iterable[Weighed]) -> list[Segment]:
    """Consecutive samples of one unit, as segments in order of time."""
    segments: list[Segment] = []
    for part in weighed:
        key = unit_of(part.sample)
        if not segments or segments[-1].key != key:
            segments.append(Segment(key))
        segments[-1].parts.append(part)
    return segments

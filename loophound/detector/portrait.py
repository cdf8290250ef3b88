"""The figures on which a cause is decided: one stretch of an episode, measured.

Shares run from 0 to 1 of the stretch; a figure that no fact supports is None.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from loophound.detector.blame import is_debugging, is_importing, is_starting_a_thread
from loophound.detector.episode import Episode, Span
from loophound.detector.facts import Sampled, Source, Waiting
from loophound.detector.frames import CodeFrame
from loophound.detector.segments import Weighed
from loophound.detector.syscalls import Wait, wait_of

# So many samples from outside tell how the time divides within a line; samples from
# inside cannot, for CPython lets another thread look only at a few kinds of instruction.
ENOUGH_FROM_OUTSIDE = 3
ENOUGH_FROM_INSIDE = 3
LITTLE_OFTEN = 0.2  # a call in C that lets go of the GIL for its whole time waits for nothing
MOST = 0.5  # the better half of the time
# From inside, a thread that computes in Python is always seen to wait for the GIL, which the
# one that looks holds: without CPU time that alone is no computing.
MOST_WITHHELD_BY_GIL = 0.9

# Who was seen to wait more often than that did so: a loop of short calls, such as fsync, is
# mostly seen between them from inside the process.
HARDLY_EVER = 0.1
# CPython hands the GIL over every 5 ms at the most, and each look of the watchdog takes it some times more. A thread
# that computes gave up its CPU 110 times a second beside two others, a loop of fsync 490 times beside one and 1,200
# times alone; on a faster machine one that computes did so 420 to 720 times, all of 0.93 to 0.96 on a CPU.
OFTEN_PER_S = 400
NEARLY_ALL = 0.8


@dataclass(frozen=True, slots=True)
class Portrait:
    """What a stretch looked like."""

    length_ns: int
    threshold_ns: int
    cpu: float | None  # the loop's thread on a CPU
    others_cpu: float | None  # the other threads of the process on CPUs
    runqueue: float | None  # runnable, but waiting for a CPU
    runqueue_ns: int | None
    collecting: float
    collecting_ns: int
    slept: bool  # the machine was suspended meanwhile
    stopped: float  # seen as stopped by the kernel
    debugging: float
    importing: float
    starting: float  # it waited for a thread that it had started to begin
    idle: float  # no callback ran
    unseen: float  # the watchdog could not look though a CPU was free
    unseen_at_once: float  # the longest such stretch alone
    sampled_unseen: bool  # somebody looked meanwhile
    looked: float  # of the stretch, how much lies near enough to a sample
    standing: float  # the one instruction at which most of the time was spent
    in_call: float  # at an instruction that can run C code, of the samples that tell
    seen_inside: float  # the time for which samples from inside the process stand
    hands_over: bool  # it went to wait for something about as often as the watchdog wanted the GIL
    pauses_per_s: float  # how often it gave up its CPU to wait for something; 0 where that is not known
    from_outside: bool  # `standing` comes of samples from outside alone
    runnable: float | None  # the kernel had it running or wanting to, of the samples that tell
    wanting: float  # the kernel had it running, or wanting to run, or waiting for the GIL
    waits: dict[Wait, float]
    waiting: Waiting | None  # the system call that took most of the waiting
    source: Source | None

    @property
    def computed(self) -> bool:
        """It used the CPU for most of what it was given; or it wanted to for most of the time, and
        what it got is more than the threshold: a hypervisor takes CPUs away without a trace. Where the
        run queue explains most of the time, `busy` tells.
        """
        if self.cpu is None or self.busy is None or self.pauses:
            return False
        wanted = self.wanting >= MOST and self.waited < HARDLY_EVER and (self.runqueue or 0.0) < MOST
        return self.busy >= MOST or (wanted and self.cpu * self.length_ns >= self.threshold_ns)

    @property
    def pauses(self) -> bool:
        """It waited for moments at a time, more often than the GIL can explain, and was seen to."""
        computes = self.cpu is not None and self.cpu >= NEARLY_ALL
        return self.pauses_per_s >= OFTEN_PER_S and self.waited > 0.0 and not computes

    @property
    def waited(self) -> float:
        """How much it was seen to wait of its own accord: not for the GIL."""
        return sum(share for wait, share in self.waits.items() if wait is not Wait.GIL)

    @property
    def busy(self) -> float | None:
        """How much the thread computed of the time that was given to it: of what it did not
        spend waiting for a CPU or the GIL. On a crowded machine the bare share accuses nobody.
        """
        if self.cpu is None:
            return None
        # From inside it is always seen waiting for the GIL when it is not in a call: the one who looks has it.
        by_gil = min(self.waits[Wait.GIL], MOST_WITHHELD_BY_GIL) if self.from_outside else 0.0
        withheld = (self.runqueue or 0.0) + by_gil
        # The two overlap, and what it was seen to wait of its own accord was not withheld: on a crowded machine a
        # loop of fsync spends most of its time getting the CPU and the GIL back, and still waits for the disk.
        return min(1.0, self.cpu / max(0.01, 1.0 - withheld, min(1.0, self.cpu + self.waited)))


def portray(episode: Episode, parts: Sequence[Weighed], stretch: Span, threshold_ns: int) -> Portrait:
    total_ns = stretch.length_ns or 1
    runqueue_ns = _runqueue_ns(episode, parts, stretch)
    collecting_ns = sum(stretch.overlap_ns(Span(c.began_ns, c.ended_ns)) for c in episode.collections)
    unseen = [stretch.overlap_ns(span) for span in episode.unseen]

    # Of a long stall about a hundred samples are taken.
    near_ns = max(threshold_ns // 2, total_ns // 25)

    def share(test: Callable[[Sampled], object], of: Sequence[Weighed] = parts) -> float:
        return sum(p.span.length_ns for p in of if test(p.sample)) / (sum(p.span.length_ns for p in of) or 1)

    def share_of_wait(kind: Wait) -> float:
        of = _unbiased(parts) if kind is Wait.GIL else parts
        return share(lambda s: s.waiting is not None and wait_of(s.waiting) is kind, of)

    cpu, others = _cpu_shares(episode, parts, stretch)
    telling = share(lambda s: s.in_call is not None)
    kernel_told = share(lambda s: s.runnable is not None)
    return Portrait(
        length_ns=stretch.length_ns,
        threshold_ns=threshold_ns,
        cpu=cpu,
        others_cpu=others,
        runqueue=None if runqueue_ns is None else min(1.0, runqueue_ns / total_ns),
        runqueue_ns=runqueue_ns,
        collecting=collecting_ns / total_ns,
        collecting_ns=collecting_ns,
        slept=episode.slept,
        stopped=share(lambda s: s.stopped),
        debugging=share(lambda s: is_debugging(s.frames, s.base)),
        importing=share(lambda s: is_importing(s.frames, s.base)),
        starting=share(lambda s: is_starting_a_thread(s.frames)),
        idle=share(lambda s: s.idle),
        unseen=sum(unseen) / total_ns,
        unseen_at_once=max(unseen, default=0) / total_ns,
        sampled_unseen=any(
            s.sample.source is Source.OBSERVER and span.began_ns <= s.sample.at_ns < span.ended_ns
            for s in parts
            for span in episode.unseen
        ),
        looked=sum(min(p.span.length_ns, near_ns) for p in parts) / total_ns,
        standing=_standing(parts),
        in_call=share(lambda s: s.in_call) / telling if telling else 0.0,
        seen_inside=share(lambda s: s.source is Source.WATCHDOG),
        hands_over=_hands_over(parts),
        pauses_per_s=_pauses_per_s(parts),
        from_outside=len(_outside(parts)) >= ENOUGH_FROM_OUTSIDE,
        runnable=share(lambda s: s.runnable) / kernel_told if kernel_told else None,
        wanting=share(lambda s: s.runnable or (s.source is Source.OBSERVER and _waits_for_gil(s))),
        waits={kind: share_of_wait(kind) for kind in Wait},
        waiting=_waiting(parts),
        source=_source(parts),
    )


def _waits_for_gil(sample: Sampled) -> bool:
    return sample.waiting is not None and wait_of(sample.waiting) is Wait.GIL


def _hands_over(parts: Sequence[Weighed]) -> bool:
    """Whether it let go of the GIL on demand. CPython does so between instructions only, and waits for it then."""
    switches = [p.sample.switches for p in parts if p.sample.switches is not None]
    return len(switches) > ENOUGH_FROM_INSIDE and switches[-1] - switches[0] >= (len(switches) - 1) * LITTLE_OFTEN


def _pauses_per_s(parts: Sequence[Weighed]) -> float:
    known = [(p.sample.at_ns, p.sample.switches) for p in parts if p.sample.switches is not None]
    if len(known) < ENOUGH_FROM_INSIDE:
        return 0.0
    (first_ns, before), (last_ns, after) = known[0], known[-1]
    return (after - before) * 1e9 / (last_ns - first_ns) if last_ns > first_ns else 0.0


def _cpu_shares(episode: Episode, parts: Sequence[Weighed], stretch: Span) -> tuple[float | None, float | None]:
    """Shares of the loop's thread and of the other threads on a CPU during the stretch."""
    points = [(episode.beat_ns, episode.cpu_ns)] if episode.cpu_ns is not None else []
    points += [(p.sample.at_ns, p.sample.cpu_ns) for p in parts if p.sample.cpu_ns is not None]
    if episode.ended_ns is not None and episode.ended_cpu_ns is not None:
        points.append((episode.ended_ns, episode.ended_cpu_ns))
    growth = _growth(points, stretch)
    if growth is None:
        return None, None
    cpu = min(1.0, growth[0] / growth[1])
    if episode.ended_ns is None or episode.ended_process_cpu_ns is None or episode.ended_cpu_ns is None:
        return cpu, None
    if episode.cpu_ns is None or episode.process_cpu_ns is None:
        return cpu, None
    own_ns = episode.ended_cpu_ns - episode.cpu_ns
    others_ns = episode.ended_process_cpu_ns - episode.process_cpu_ns - own_ns
    return cpu, max(0.0, others_ns / ((episode.ended_ns - episode.beat_ns) or 1))


def _runqueue_ns(episode: Episode, parts: Sequence[Weighed], stretch: Span) -> int | None:
    points = [(a.at_ns, a.runqueue_ns) for a in episode.accounts]
    points += [(p.sample.at_ns, p.sample.runqueue_ns) for p in parts if p.sample.runqueue_ns is not None]
    growth = _growth(sorted(points), stretch)
    return None if growth is None else round(growth[0])


def _growth(points: Sequence[tuple[int, int]], stretch: Span) -> tuple[float, int] | None:
    """How much a counter grew within a stretch, and over how much of it that is known.

    The kernel accounts for a running thread late when it is read from outside: a reading
    below an earlier one says nothing.
    """
    rising = list(points[:1])
    for point in points[1:]:
        if point[0] > rising[-1][0] and point[1] >= rising[-1][1]:
            rising.append(point)
    if len(rising) < 2:
        return None
    began_ns, ended_ns = max(stretch.began_ns, rising[0][0]), min(stretch.ended_ns, rising[-1][0])
    if ended_ns <= began_ns:
        return None
    return _interpolate(rising, ended_ns) - _interpolate(rising, began_ns), ended_ns - began_ns


def _interpolate(points: Sequence[tuple[int, int]], at_ns: int) -> float:
    left = points[0]
    for right in points[1:]:
        if at_ns <= right[0]:
            width = (right[0] - left[0]) or 1
            return left[1] + (right[1] - left[1]) * max(0, at_ns - left[0]) / width
        left = right
    return left[1]


def _outside(parts: Sequence[Weighed]) -> Sequence[Weighed]:
    return [p for p in parts if p.sample.source is Source.OBSERVER]


def _unbiased(parts: Sequence[Weighed]) -> Sequence[Weighed]:
    outside = _outside(parts)
    return outside if len(outside) >= ENOUGH_FROM_OUTSIDE else parts


def _standing(parts: Sequence[Weighed]) -> float:
    """By the whole stack: a library in Python is often seen at one instruction, of many calls of it."""
    weights: Counter[tuple[CodeFrame, ...]] = Counter()
    for part in _unbiased(parts):
        if part.sample.frames:
            weights[part.sample.frames[part.sample.base :]] += part.span.length_ns
    return max(weights.values(), default=0) / (weights.total() or 1)


def _waiting(parts: Sequence[Weighed]) -> Waiting | None:
    weights: Counter[Waiting] = Counter()
    for part in parts:
        if part.sample.waiting is not None and wait_of(part.sample.waiting) is not Wait.GIL:
            weights[part.sample.waiting] += part.span.length_ns
    if not weights:
        return None
    # The same call with its target known says more than without.
    top = weights.most_common(1)[0][0]
    known = [w for w in weights if w.syscall == top.syscall and w.target]
    return top if top.target or not known else max(known, key=lambda w: weights[w])


def _source(parts: Sequence[Weighed]) -> Source | None:
    weights: Counter[Source] = Counter()
    for part in parts:
        weights[part.sample.source] += part.span.length_ns
    return weights.most_common(1)[0][0] if weights else None

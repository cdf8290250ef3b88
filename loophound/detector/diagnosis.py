"""From what was seen of a silence to its cause and culprit.

`RULES` is the whole judgement, read from top to bottom: the first rule that holds names
the cause. What clears the loop's own code stands before what accuses it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from loophound.detector.blame import Origin, culprit_index
from loophound.detector.episode import Episode, Span
from loophound.detector.facts import Collected, Sampled, ThreadSampled, Work
from loophound.detector.frames import CodeFrame
from loophound.detector.portrait import HARDLY_EVER, MOST, Portrait, portray
from loophound.detector.records import INNOCENT, Cause
from loophound.detector.segments import IDLE, Segment, Weighed, cut, unit_of, weigh
from loophound.detector.syscalls import POLLS, Wait

LITTLE = 0.3
NEARLY_NONE = 0.1
NOTICEABLE = 0.05
STANDS_STILL = 0.8
MOST_PROFILE_LINES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A diagnosed stall, still in the core's terms."""

    cause: Cause
    span: Span
    portrait: Portrait
    sample: Sampled | None  # the one that shows the culprit best
    culprit: CodeFrame | None
    blocking: CodeFrame | None
    profile: tuple[tuple[CodeFrame, float], ...]
    samples: int
    work: Work | None
    gil_held: bool | None
    other_thread: ThreadSampled | None
    collection: Collected | None
    interrupted: str | None = None  # how it was interrupted, or that this failed


def was_suspended(p: Portrait) -> bool:
    # After a sleep of the machine its clocks, disks and networks come back one after the other.
    if p.slept or p.stopped >= MOST or p.debugging >= MOST:
        return True
    # Nobody in the process ran or wanted a CPU, and not even the observer could look. A virtual
    # machine has such pauses every few minutes; of a loop that had nothing to do they say nothing.
    still = p.cpu is not None and p.cpu < NEARLY_NONE and (p.others_cpu or 0.0) < NEARLY_NONE
    unlooked = p.unseen_at_once >= MOST and not p.sampled_unseen
    return still and unlooked and p.idle < MOST and (p.runqueue or 0.0) < LITTLE


def was_starved(p: Portrait) -> bool:
    """With a CPU at hand it would not have been a stall."""
    if p.runqueue_ns is not None and (p.runqueue or 0.0) >= LITTLE and p.length_ns - p.runqueue_ns < p.threshold_ns:
        return True
    if p.busy is not None and p.busy < MOST and p.looked < LITTLE and p.waited < HARDLY_EVER:
        return True  # it did not compute, and those who look were not given a CPU either
    # Ready to run and yet not running, without a queue to be seen: a hypervisor or a quota (cgroups'
    # cpu.max) took the CPU away. The guest's clocks charge a part of that to the thread: where those
    # who look were deprived too, what it seems to have computed has to be a stall twice over.
    ready = p.runnable is not None and p.runnable >= MOST and p.waited < HARDLY_EVER
    wanted_ns = p.threshold_ns if p.looked >= MOST else 2 * p.threshold_ns
    return ready and p.busy is not None and p.busy < MOST and p.busy * p.length_ns < wanted_ns


def was_collecting(p: Portrait) -> bool:
    return p.collecting >= MOST


def was_kept_out(p: Portrait) -> bool:
    """Another thread computed and did not hand over the GIL."""
    if p.cpu is None or p.cpu >= LITTLE:
        return False
    if p.from_outside and p.waits[Wait.GIL] >= MOST:
        return True
    # Whoever waits for the GIL asks for it every 5 ms, and on a crowded machine waits for a CPU each time.
    if p.from_outside and p.unseen_at_once >= MOST and p.cpu < NEARLY_NONE:
        return p.waits[Wait.GIL] > max(HARDLY_EVER, p.waited)
    if p.others_cpu is None or p.others_cpu < MOST:
        return False
    if p.idle >= MOST and p.runnable is not None and p.waits[Wait.GIL] < LITTLE:
        return False  # it had nothing to do: nothing was kept from it
    return p.unseen >= MOST and _own_wait(p) < MOST


def _own_wait(p: Portrait) -> float:
    if p.idle >= MOST:
        return 0.0
    if p.from_outside:  # where a wait for the GIL, or for what it guards, is told from one for any other lock
        return p.waited
    return p.waits[Wait.SLEEP] + p.waits[Wait.IO]


def was_kept_by_a_beginner(p: Portrait) -> bool:
    """It waited for a thread to begin, which takes microseconds where that one is given a CPU, and the GIL."""
    return p.starting >= MOST


def was_importing(p: Portrait) -> bool:
    return p.importing >= MOST


def ran_in_c(p: Portrait) -> bool:
    if not p.computed or p.standing < STANDS_STILL:
        return False
    if p.unseen_at_once >= MOST:
        return True
    if p.hands_over:
        return False  # a loop of short calls in C is seen at one instruction too
    if p.in_call >= MOST:
        return True
    # One instruction, seen from outside where nothing favours it, and hardly ever from inside.
    return p.from_outside and p.seen_inside < LITTLE


def ran_python(p: Portrait) -> bool:
    return p.computed


def waits_most_for(kind: Wait) -> Callable[[Portrait], bool]:
    def rule(p: Portrait) -> bool:
        seen = p.waited
        return seen >= HARDLY_EVER and p.waits[kind] / seen >= MOST and (kind is not Wait.LOCK or p.standing >= MOST)

    return rule


RULES: tuple[tuple[Cause, Callable[[Portrait], bool]], ...] = (
    (Cause.SUSPENDED, was_suspended),
    (Cause.STARVED, was_starved),
    (Cause.GC, was_collecting),
    (Cause.CONTENTION, was_kept_out),
    (Cause.STARVED, was_kept_by_a_beginner),
    (Cause.IMPORT, was_importing),
    (Cause.NATIVE, ran_in_c),
    (Cause.CPU, ran_python),
    (Cause.SLEEP, waits_most_for(Wait.SLEEP)),
    (Cause.LOCK, waits_most_for(Wait.LOCK)),
    (Cause.IO, waits_most_for(Wait.IO)),
)


_CAUSE_OF_WAIT = {Wait.SLEEP: Cause.SLEEP, Wait.LOCK: Cause.LOCK, Wait.IO: Cause.IO}


def diagnose(
    episode: Episode, *, until_ns: int, threshold_ns: int, origin: Origin, observed: bool = False
) -> list[Finding]:
    """The stalls within one silence: mostly one, several when culprits stood back to back
    in one turn of the loop, none when nothing shows that anybody was kept waiting.
    `observed` tells whether somebody could look while the GIL was held.
    """
    whole = Span(episode.began_ns, until_ns)
    weighed = weigh(episode, until_ns)
    segments = cut(weighed)
    long = [s for s in segments if s.key != IDLE and s.span.length_ns >= threshold_ns]
    if len(long) > 1:
        return [_judge(episode, s.parts, s.span, threshold_ns, origin) for s in long]
    main = long[0] if long else _dominant(segments, whole)
    if main is not None:
        parts = [p for s in segments if s.key == main.key for p in s.parts]
        # What ran before and after in the same turn kept the loop from turning too, but
        # where the culprit did not fill the silence, only its own time is its own.
        own_ns = sum(s.span.length_ns for s in segments if s.key == main.key)
        idle_ns = sum(s.span.length_ns for s in segments if s.key == IDLE)
        fills = own_ns >= whole.length_ns * MOST and idle_ns < whole.length_ns // 10
        span = whole if fills else main.span
        return [_judge(episode, parts, span, threshold_ns, origin)]
    return _without_culprit(episode, weighed, segments, whole, threshold_ns, origin, observed)


def _dominant(segments: Sequence[Segment], whole: Span) -> Segment | None:
    """The unit that held most of the silence, where there is one."""
    totals: Counter[Hashable] = Counter()
    for segment in segments:
        totals[segment.key] += segment.span.length_ns
    if not totals:
        return None
    key, held_ns = totals.most_common(1)[0]
    if key == IDLE or held_ns < whole.length_ns * MOST:
        return None
    return max((s for s in segments if s.key == key), key=lambda s: s.span.length_ns)


def _without_culprit(
    episode: Episode,
    weighed: Sequence[Weighed],
    segments: Sequence[Segment],
    whole: Span,
    threshold_ns: int,
    origin: Origin,
    observed: bool,
) -> list[Finding]:
    kept = _since_it_had_to_do(weighed)
    if len(kept) < len(weighed) and kept:
        # A thread may hold the GIL for long before the loop wants it: only from then on is it kept from running.
        # From inside that is not seen, for whoever looks has the GIL.
        since = Span(kept[0].span.began_ns, whole.ended_ns)
        portrait = portray(episode, kept, since, threshold_ns)
        cause = next((c for c, rule in RULES[:4] if rule(portrait)), None)
        if cause is Cause.CONTENTION and portrait.from_outside and since.length_ns >= threshold_ns:
            return [_finding(episode, cause, portrait, kept, since, origin)]
    portrait = portray(episode, weighed, whole, threshold_ns)
    cause = next((c for c, rule in RULES[:4] if rule(portrait)), None)
    if cause is Cause.CONTENTION and observed and not weighed:
        return []  # the observer would have seen the loop wait, and the thread for which it did
    if cause is None:
        busy_ns = sum(s.span.length_ns for s in segments if s.key != IDLE)
        if busy_ns >= threshold_ns:
            cause = Cause.FLOOD
        elif not busy_ns:
            cause = _by_figures(portrait, seen_idle=bool(weighed), observed=observed)
    if cause is None:
        return []
    return [_finding(episode, cause, portrait, weighed, whole, origin)]


def _since_it_had_to_do(weighed: Sequence[Weighed]) -> Sequence[Weighed]:
    """What was seen from when the loop, which waited for events at first, no longer did."""
    at_rest = (p.sample.idle and p.sample.waiting is not None and p.sample.waiting.syscall in POLLS for p in weighed)
    return weighed[next((index for index, rests in enumerate(at_rest) if not rests), len(weighed)) :]


def _by_figures(portrait: Portrait, *, seen_idle: bool, observed: bool) -> Cause | None:
    """When nobody saw it at work: it may have computed where nobody could look."""
    if portrait.busy is None or portrait.busy < MOST:
        return None
    kept_out = portrait.unseen_at_once >= MOST
    # The watchdog's idle samples are of before or after; the observer would have looked between.
    # A hypervisor that takes the CPU away lets an idle thread seem to compute.
    if seen_idle and (observed or not kept_out):
        return None
    return Cause.NATIVE if kept_out else Cause.CPU


def _judge(episode: Episode, parts: Sequence[Weighed], span: Span, threshold_ns: int, origin: Origin) -> Finding:
    portrait = portray(episode, parts, span, threshold_ns)
    cause = next((c for c, rule in RULES if rule(portrait)), None)
    if cause is None:
        cause = _without_figures(portrait, parts)
    return _finding(episode, cause, portrait, parts, span, origin)


def _without_figures(portrait: Portrait, parts: Sequence[Weighed]) -> Cause:
    """Where no figure decides (a platform or a moment without them), the circumstances do."""
    if portrait.unseen_at_once >= MOST:
        return Cause.NATIVE  # nobody else could run, and it was not seen to wait
    # A thread that computes is never seen to wait of its own accord; one that waits for moments at a
    # time, as in a loop of fsync, hardly ever on a crowded machine, where it wants a CPU most of the time.
    own = {kind: share for kind, share in portrait.waits.items() if kind in _CAUSE_OF_WAIT and share > 0.0}
    if own and portrait.busy is not None and (portrait.busy < MOST or portrait.pauses):
        return _CAUSE_OF_WAIT[max(own, key=lambda kind: own[kind])]
    if portrait.wanting >= MOST:
        return Cause.CPU
    frame = max(parts, key=lambda p: p.span.length_ns).sample.frames[-1]
    return Cause.LOCK if frame.file.endswith(("/threading.py", "/queue.py")) else Cause.IO


def _finding(
    episode: Episode, cause: Cause, portrait: Portrait, parts: Sequence[Weighed], span: Span, origin: Origin
) -> Finding:
    profile = _profile(parts, origin)
    sample, culprit = _culprit(parts, profile, origin)
    other, queued_ns = _other_thread(parts, origin) if cause is Cause.CONTENTION else (None, 0)
    if portrait.length_ns - queued_ns < portrait.threshold_ns:
        cause, other = Cause.STARVED, None  # who held the GIL was given no CPU
    innocent = cause in INNOCENT
    collections = [c for c in episode.collections if span.overlap_ns(Span(c.began_ns, c.ended_ns))]
    return Finding(
        cause=cause,
        span=span,
        portrait=portrait,
        sample=sample,
        culprit=None if innocent else culprit,
        blocking=sample.frames[-1] if sample and sample.frames else None,
        profile=tuple(profile[:MOST_PROFILE_LINES]),
        samples=len(parts),
        work=next((p.sample.work for p in parts if p.sample.work and sample and p.sample.unit == sample.unit), None),
        gil_held=_gil_held(cause, portrait),
        other_thread=other,
        interrupted=episode.interruptions.get(unit_of(sample)) if sample else None,
        collection=max(collections, key=lambda c: c.ended_ns - c.began_ns) if collections else None,
    )


def _gil_held(cause: Cause, portrait: Portrait) -> bool | None:
    """Whether no other Python thread could run meanwhile; None where nobody tried, as on a crowded machine.

    A thread that computes in Python hands it over; a collection never does.
    """
    if cause in (Cause.CPU, Cause.FLOOD, Cause.STARVED, Cause.SUSPENDED):
        return None
    if cause is Cause.GC or portrait.unseen_at_once >= MOST:
        return True
    # One who waits stands still: the watchdog's looks at it were not between two of its calls.
    enough = NOTICEABLE if cause in (Cause.SLEEP, Cause.IO, Cause.LOCK) else LITTLE
    return False if portrait.seen_inside >= enough else None


def _profile(parts: Sequence[Weighed], origin: Origin) -> list[tuple[CodeFrame, float]]:
    """Lines to blame by share of the time, largest first."""
    weights: Counter[tuple[str, str, int]] = Counter()
    frames: dict[tuple[str, str, int], CodeFrame] = {}
    for part in parts:
        sample = part.sample
        index = None if sample.idle else culprit_index(sample.frames, sample.base, origin)
        if index is not None:
            frame = sample.frames[index]
            key = (frame.file, frame.function, frame.line)
            frames.setdefault(key, frame)
            weights[key] += part.span.length_ns
    total = sum(part.span.length_ns for part in parts) or 1
    return [(frames[key], held / total) for key, held in weights.most_common()]


def _culprit(
    parts: Sequence[Weighed], profile: Sequence[tuple[CodeFrame, float]], origin: Origin
) -> tuple[Sampled | None, CodeFrame | None]:
    """The heaviest line of the heaviest function, and the heaviest sample that shows it."""
    functions: defaultdict[tuple[str, str], float] = defaultdict(float)
    for frame, share in profile:
        functions[(frame.file, frame.function)] += share
    if not functions:
        return (max(parts, key=lambda p: p.span.length_ns).sample if parts else None), None
    top = max(functions, key=lambda key: functions[key])
    line = next(frame for frame, _ in profile if (frame.file, frame.function) == top)
    showing = []
    for part in parts:
        index = culprit_index(part.sample.frames, part.sample.base, origin)
        if index is not None and not part.sample.idle:
            frame = part.sample.frames[index]
            if (frame.file, frame.function, frame.line) == (line.file, line.function, line.line):
                showing.append((part.span.length_ns, part.sample, frame))
    _, sample, frame = max(showing, key=lambda shown: shown[0])
    return sample, frame


def _is_ours(thread: ThreadSampled, origin: Origin) -> bool:
    """Whether a thread of Loophound's works for itself, and runs nothing of the application, as its executors do."""
    judged = ((origin.is_own(frame.file), origin.is_app(frame.file)) for frame in reversed(thread.frames))
    return next((is_own for is_own, is_app in judged if is_own or is_app), False)


def _other_thread(parts: Sequence[Weighed], origin: Origin) -> tuple[ThreadSampled | None, int]:
    """The other thread that used, or wanted, most CPU from the first look to the last, and for how long it
    waited for a CPU; never one of ours.
    """
    first: dict[int, ThreadSampled] = {}
    last: dict[int, ThreadSampled] = {}
    for part in parts:
        for thread in part.sample.others:
            if not _is_ours(thread, origin):
                first.setdefault(thread.native_id, thread)
                last[thread.native_id] = thread
    queued = {n: (t.runqueue_ns or 0) - (first[n].runqueue_ns or 0) for n, t in last.items()}
    top = max(last.values(), key=lambda t: t.cpu_ns - first[t.native_id].cpu_ns + queued[t.native_id], default=None)
    return (top, queued[top.native_id]) if top is not None else (None, 0)

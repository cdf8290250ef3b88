"""From a finding to the public record: names, source lines, the request and who waited."""

from __future__ import annotations

import os
import re
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from loophound import marks
from loophound.detector.blame import Origin, program_index
from loophound.detector.diagnosis import Finding
from loophound.detector.episode import Span
from loophound.detector.facts import ThreadSampled
from loophound.detector.fingerprint import fingerprint
from loophound.detector.frames import CodeFrame
from loophound.detector.records import (
    INNOCENT,
    Cause,
    Delay,
    Evidence,
    OtherThread,
    Place,
    ProfileLine,
    StackFrame,
    Stall,
)
from loophound.detector.remedy import COMPUTE, by_place, remedy_for
from loophound.source import SourceLines
from loophound.times import wall_iso

MOST_DELAYS = 20
_CALL = re.compile(r"[A-Za-z_][\w.]*(?=\()")


@dataclass(frozen=True, slots=True)
class Arrival:
    """An exchange as far as counting it goes: which one, and when it was there."""

    connection_id: int
    scope_id: int
    began_ns: int
    ended_ns: int  # 0 while in flight
    method: str = "GET"
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Where a stall happened: what the finding itself does not know."""

    pid: int
    worker: int
    loop: str
    thread: str
    threshold_ns: int
    error_ns: int
    beat_ns: int  # the last beat before it, which both processes know: it names the stall
    slot: int
    ongoing: bool
    wall_offset_ns: int  # time.time_ns() - time.monotonic_ns()
    arrivals: Sequence[Arrival] = ()
    settled_ns: int = 0  # by then the loop had read what had piled up
    thread_names: Mapping[int, str] = field(default_factory=dict)


def make_origin() -> Origin:
    """What counts as application code in this process."""
    paths = sysconfig.get_paths()
    roots = {paths[name] for name in ("stdlib", "platstdlib") if name in paths}
    own = str(Path(__file__).resolve().parent.parent)
    return Origin(
        library_roots=tuple(
            root.rstrip(os.sep) + os.sep for root in sorted(roots | {os.path.realpath(r) for r in roots})
        ),
        own_root=own + os.sep,
        own_launcher=os.path.join(own, "cli") + os.sep,
        own_applications=(os.path.join(own, "demo") + os.sep,),
    )


class Reporter:
    """Makes records. Reads source files, so it must not run on the loop's thread."""

    def __init__(self, origin: Origin, sources: SourceLines) -> None:
        self.origin = origin
        self._sources = sources

    def make(self, findings: Sequence[Finding], scene: Scene) -> list[Stall]:
        return [self._stall(finding, number, scene) for number, finding in enumerate(findings)]

    def _stall(self, finding: Finding, number: int, scene: Scene) -> Stall:
        culprit, blocking, sample = finding.culprit, finding.blocking, finding.sample
        frames = sample.frames if sample is not None else ()
        shown = frames[program_index(frames, sample.base, self.origin) :] if sample is not None else ()
        work = finding.work
        waiting = _waiting(finding, scene)
        other = _other_thread(finding.other_thread, scene.thread_names, self.origin)
        return Stall(
            id=stall_id(scene.pid, scene.slot, scene.beat_ns, number),
            at=wall_iso((finding.span.began_ns + scene.wall_offset_ns) / 1e9),
            pid=scene.pid,
            worker=scene.worker,
            loop=scene.loop,
            thread=scene.thread,
            duration_s=round(finding.span.length_ns / 1e9, 6),
            duration_error_s=round(scene.error_ns / 1e9, 6),
            threshold_s=round(scene.threshold_ns / 1e9, 6),
            ongoing=scene.ongoing,
            cause=finding.cause,
            innocent=finding.cause in INNOCENT,
            culprit=self.place(culprit),
            blocking=self.place(blocking),
            other_thread=other,
            stack=tuple(StackFrame(f.file, f.line, short(f.function), self.origin.is_app(f.file)) for f in shown),
            profile=tuple(
                ProfileLine(f.file, f.line, short(f.function), round(share, 3)) for f, share in finding.profile
            ),
            samples=finding.samples,
            task=work.task if work else None,
            request=work.request if work else None,
            evidence=_evidence(finding),
            victims=len(waiting),
            delays=_delays(waiting, finding.span),
            fingerprint=_fingerprint(finding, other),
            remedy=self._remedy(finding),
        )

    def place(self, frame: CodeFrame | None) -> Place | None:
        if frame is None:
            return None
        line = self._sources.line(frame.file, frame.line)
        return Place(frame.file, frame.line, short(frame.function), line.strip() if line is not None else None)

    def _remedy(self, finding: Finding) -> str | None:
        culprit = finding.culprit
        frames = finding.sample.frames if finding.sample is not None else ()
        inner = frames[frames.index(culprit) + 1 :] if culprit in frames else ()
        general = remedy_for(
            finding.cause,
            call=self._call(culprit) if culprit is not None else None,
            inner=inner,
            gil_held=finding.gil_held,
            function=short(culprit.function) if culprit is not None else None,
        )
        executor = marks.executor_for(finding.cause, finding.gil_held)
        if culprit is None or executor is None or not self.origin.is_app(culprit.file):
            return general
        if by_place(culprit.function) == general:
            return general  # nobody awaits what a mark would make of it
        base = finding.sample.base if finding.sample is not None else 0
        around = marks.around([(frame.file, frame.function) for frame in frames[base:]])
        exact = self._mark(culprit, executor, finding)
        if exact is not None and general is not None and general.startswith(COMPUTE):
            general = None  # it says the same of a function that is not known, and may be a coroutine's
        return around or "; or ".join(filter(None, [general, exact])) or None

    def _mark(self, culprit: CodeFrame, executor: str, finding: Finding) -> str | None:
        found = marks.definition(self._sources.lines, culprit.file, culprit.line, culprit.function)
        if found is None:
            return None
        request = finding.work.request if finding.work is not None else None
        return marks.advice(found, executor, (request.route or request.path) if request is not None else None)

    def _call(self, frame: CodeFrame) -> str | None:
        """The dotted name that the frame's current expression calls."""
        line = self._sources.line(frame.file, frame.line)
        if line is None:
            return None
        end = frame.end_column if frame.end_column >= 0 else None
        start = max(frame.column, 0)
        expression = line.encode("utf-8", "replace")[start:end].decode("utf-8", "replace")
        found = _CALL.findall(expression)
        return found[0] if found else None


def stall_id(pid: int, slot: int, beat_ns: int, number: int) -> str:
    """The same in both processes, so that an announcement and its final record agree."""
    text = f"{pid}.{slot}.{beat_ns}.{number}"
    return blake2b(text.encode(), digest_size=8).hexdigest()


def short(function: str) -> str:
    """A qualified name without the functions around it: "Shop.show", "show"."""
    return function.rpartition("<locals>.")[2]


def _fingerprint(finding: Finding, other: OtherThread | None) -> str:
    # Who merely stood there when nobody of the loop is to blame would part what belongs together.
    named = finding.culprit or other
    return fingerprint(finding.cause, named.file if named else None, named.function if named else None)


def _evidence(finding: Finding) -> Evidence:
    portrait, collection = finding.portrait, finding.collection
    # A thread that computes is now and then seen waiting for the GIL, which explains nothing.
    waiting = portrait.waiting if finding.cause in (Cause.SLEEP, Cause.IO, Cause.LOCK) else None
    return Evidence(
        cpu_share=None if portrait.cpu is None else round(portrait.cpu, 2),
        syscall=waiting.syscall if waiting else None,
        target=waiting.target if waiting else None,
        runqueue_s=None if portrait.runqueue_ns is None else round(portrait.runqueue_ns / 1e9, 6),
        gc_s=round(portrait.collecting_ns / 1e9, 6),
        captured_by=portrait.source.value if portrait.source else None,
        gil_held=finding.gil_held,
        gc_generation=collection.generation if collection else None,
        gc_collected=collection.collected if collection else None,
        interrupted=finding.interrupted,
    )


def _waiting(finding: Finding, scene: Scene) -> list[Arrival]:
    """Requests that waited: in flight during the stall, or found waiting when it was over."""
    own = finding.work.scope_id if finding.work else 0
    own_connections = {a.connection_id for a in scene.arrivals if own and a.scope_id == own}
    until_ns = max(scene.settled_ns, finding.span.ended_ns)
    waited: dict[int, Arrival] = {}
    for arrival in sorted(scene.arrivals, key=lambda a: a.began_ns):
        there = arrival.began_ns <= until_ns and (not arrival.ended_ns or arrival.ended_ns > finding.span.began_ns)
        if there and arrival.connection_id not in own_connections:
            # A quick client may have asked again by then; it waited once all the same.
            waited.setdefault(arrival.connection_id, arrival)
    return list(waited.values())


def _delays(waiting: Sequence[Arrival], span: Span) -> tuple[Delay, ...]:
    def delay_s(arrival: Arrival) -> float | None:
        if arrival.began_ns >= span.ended_ns:
            return None
        return round(span.overlap_ns(Span(arrival.began_ns, arrival.ended_ns or span.ended_ns)) / 1e9, 6)

    delays = [Delay(arrival.method, arrival.path, delay_s(arrival)) for arrival in waiting]
    return tuple(sorted(delays, key=lambda d: -(d.delay_s or 0.0))[:MOST_DELAYS])


def _other_thread(thread: ThreadSampled | None, names: Mapping[int, str], origin: Origin) -> OtherThread | None:
    if thread is None or not thread.frames:
        return None
    frame = next((f for f in reversed(thread.frames) if origin.is_app(f.file)), thread.frames[-1])
    name = thread.name or names.get(thread.native_id)
    return OtherThread(name, frame.file, frame.line, short(frame.function))

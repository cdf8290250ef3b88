"""From a call that was judged to the public record. Reads source files, so never on the loop's thread."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import count

from loophound import marks
from loophound.calls.catalogue import OFF_THE_LOOP, Row
from loophound.detector.blame import Origin
from loophound.detector.fingerprint import call_fingerprint
from loophound.detector.frames import CodeFrame
from loophound.detector.records import BlockingCall, Place, Request, StackFrame, Task
from loophound.detector.report import short
from loophound.source import SourceLines
from loophound.times import wall_iso


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """What was seen on the loop's thread. `took_ns` is None for a call that was refused."""

    call: str
    row: Row
    frames: Sequence[CodeFrame]  # the request's own, outermost first
    caller: CodeFrame
    origin: Origin
    task: Task | None
    request: Request | None
    target: str | None
    took_ns: int | None
    at_ns: int  # since the epoch
    thread: str
    pid: int
    worker: int


class Maker:
    """Makes records, and remembers the source files that it read for them."""

    def __init__(self) -> None:
        self._sources = SourceLines()
        self._numbers = count()

    def make(self, raw: Raw) -> list[BlockingCall]:
        caller = raw.caller
        line = self._sources.line(caller.file, caller.line)
        text = f"{raw.pid}.{raw.at_ns}.{id(self)}.{next(self._numbers)}"
        record = BlockingCall(
            id=blake2b(text.encode(), digest_size=8).hexdigest(),
            at=wall_iso(raw.at_ns / 1e9),
            pid=raw.pid,
            worker=raw.worker,
            thread=raw.thread,
            call=raw.call,
            cause=raw.row.cause,
            caller=Place(caller.file, caller.line, short(caller.function), line.strip() if line is not None else None),
            stack=tuple(StackFrame(f.file, f.line, short(f.function), raw.origin.is_app(f.file)) for f in raw.frames),
            task=raw.task,
            request=raw.request,
            duration_s=None if raw.took_ns is None else round(raw.took_ns / 1e9, 6),
            target=raw.target,
            fingerprint=call_fingerprint(raw.call, caller.file, caller.function),
            remedy=self._remedy(raw),
        )
        return [record]

    def _remedy(self, raw: Raw) -> str:
        around = marks.around([(frame.file, frame.function) for frame in raw.frames])
        if around is not None:
            return around
        text = raw.row.remedy.format(call=raw.call)
        caller = raw.caller
        if OFF_THE_LOOP not in text or not raw.origin.is_app(caller.file):
            return text
        found = marks.definition(self._sources.lines, caller.file, caller.line, caller.function)
        if found is None:
            return text
        route = (raw.request.route or raw.request.path) if raw.request is not None else None
        return text.replace(OFF_THE_LOOP, marks.advice(found, "thread", route))


def refusal(raw: Raw) -> str:
    """What the error says: `time.sleep() would block the event loop at app.py:44 in show: …`."""
    place = f"{os.path.basename(raw.caller.file)}:{raw.caller.line} in {short(raw.caller.function)}"
    return f"{raw.call}() would block the event loop, at {place}: {raw.row.remedy.format(call=raw.call)}"

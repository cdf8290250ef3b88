"""One user of the catalogue: what it wants to know, and the way from a call seen to the record shown."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

from loophound import allowing
from loophound.calls import judging, observing
from loophound.calls.catalogue import IMPORT
from loophound.calls.making import Maker, Raw, refusal
from loophound.calls.observing import Exchange, Sighting
from loophound.calls.patching import IMPORT_FILE, patches
from loophound.coroutines import coroutine_of
from loophound.detector.adapters.work import describe_request
from loophound.detector.allowances import Allowance, Allowances
from loophound.detector.frames import CodeFrame
from loophound.detector.records import BlockingCall, Request, Task
from loophound.detector.report import make_origin
from loophound.detector.stream import Stream, tell
from loophound.errors import BlockingCallError

CallFace = Callable[[BlockingCall], None]
MOST_FRAMES = 256


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the calls that were seen."""

    flagged: int
    allowed: int
    dropped: int


class Flagger:
    """Flags calls of `minimum_ms` and more, from start() to stop(), and shows each to `faces` on a thread of its own.

    With `raises` a call is refused before it happens: BlockingCallError. With `everywhere` a loop's calls count outside
    of requests too. `allowances` are those of the project.
    start() and stop() may be called by any thread, and more than once.
    """

    def __init__(
        self,
        faces: Sequence[CallFace] = (),
        *,
        minimum_ms: float = 1.0,
        raises: bool = False,
        everywhere: bool = False,
        allowances: Sequence[Allowance] = (),
        worker: int = 0,
    ) -> None:
        self.minimum_ns = int(minimum_ms * 1e6)
        self.raises = raises
        self.everywhere = everywhere
        self.worker = worker
        self.flagged = self.allowed = 0
        self._allowances = Allowances(allowances)
        self._origin = make_origin()
        self._faces = list(faces)
        self._maker = Maker()
        self._stream: Stream[Raw, BlockingCall] | None = None
        self._pid = 0
        self.started = False
        self.alone = False  # started, and nobody else observes in this process: no request has another observer
        self._lock = threading.Lock()
        self._complained = False

    def start(self, *roots: object) -> None:
        """Begin to see; does nothing once begun. `roots`: where to look for names bound early, besides modules.

        It takes 0.1 s and more: where a loop runs, call it in another thread.
        """
        with self._lock:
            if self.started and self._pid == os.getpid():
                return
            if self._faces:
                self._stream = Stream(self._maker.make, self._faces, what="calls")
                self._stream.start()
            self.started, self._pid = True, os.getpid()
            _started.append(self)
            _see_who_is_alone()
        patches.use(self, roots)
        if not self.started:  # stopped meanwhile
            patches.leave(self, roots)

    def stop(self, *roots: object) -> None:
        """Put everything back; returns when the last calls have been shown. As long as start()."""
        with self._lock:
            if not self.started or self._pid != os.getpid():
                return
            self.started = False
            _started.remove(self)
            self.alone = False
            _see_who_is_alone()
            stream, self._stream = self._stream, None
        patches.leave(self, roots)
        if stream is not None:
            stream.close()

    def serve(self) -> None:
        """The loop of this thread marks its requests by itself (server/hooks.py); with `everywhere`, all that it
        runs counts.
        """
        observing.served[threading.get_ident()] = self
        _see_who_is_alone()

    def unserve(self) -> None:
        observing.served.pop(threading.get_ident(), None)
        _see_who_is_alone()

    def idle(self) -> bool:
        """Whether the faces have seen all that was flagged."""
        stream = self._stream
        return stream is None or stream.idle

    @property
    def counts(self) -> Counts:
        stream = self._stream
        return Counts(self.flagged, self.allowed, stream.dropped if stream is not None else 0)

    @property
    def unused_allowances(self) -> list[Allowance]:
        return self._allowances.unused

    # On the loop's thread

    def flag(self, sighting: Sighting, exchange: Exchange) -> None:
        try:
            raw = self._judge(sighting, exchange)
        except Exception as error:  # the request must not pay for a mistake of ours
            if not self._complained:
                self._complained = True
                tell(f"a call could not be judged: {type(error).__name__}: {error}; this is said once")
            return
        if raw is None:
            return
        self.flagged += 1
        tally = exchange[4]
        if tally is not None:
            tally.calls += 1
            tally.blocked_ns += sighting.took_ns or 0
        if self._stream is not None:
            self._stream.put(raw)
        if sighting.took_ns is None:
            raise BlockingCallError(refusal(raw))

    def _judge(self, sighting: Sighting, exchange: Exchange) -> Raw | None:
        task = _current_task()
        frames, base = stack(sys._getframe(2), task)
        judge = judging.importer_index if sighting.point.row.group == IMPORT else judging.caller_index
        index = judge(frames, base, self._origin)
        if index is None:
            return None
        if self._is_allowed(frames[base:], exchange[1]):
            self.allowed += 1
            return None
        row = sighting.point.row
        try:
            target = row.target(sighting.args, sighting.kwargs) if row.target is not None else None
        except Exception:  # odd arguments, or one that is closed by now
            target = None
        return Raw(
            call=sighting.point.call, row=row, frames=frames[base:], caller=frames[index], origin=self._origin,
            task=Task(task.get_name(), getattr(coroutine_of(task), "__qualname__", None)) if task is not None else None,
            request=_request(exchange, task), target=target, took_ns=sighting.took_ns,
            at_ns=time.time_ns() - (sighting.took_ns or 0), thread=threading.current_thread().name,
            pid=os.getpid(), worker=self.worker,
        )  # fmt: skip

    def _is_allowed(self, frames: Sequence[CodeFrame], thread: int) -> bool:
        named = {(frame.file, frame.function) for frame in frames}
        permitted = any(
            permit.thread == thread and not permit.ended_ns and (permit.file, permit.function) in named
            for permit in reversed(allowing.permits)
        )
        return permitted or self._allowances.cover(frames)


def stack(frame: FrameType | None, task: asyncio.Task[Any] | None) -> tuple[list[CodeFrame], int]:
    """The frames from the outermost to the call, without our own around it, and where the request's begin."""
    frames: list[CodeFrame] = []
    outermost = getattr(coroutine_of(task), "cr_frame", None) if task is not None else None
    base_from_inside: int | None = None
    while frame is not None and len(frames) < MOST_FRAMES:
        code = frame.f_code
        if not _is_around_a_call(frame):
            if code in base_codes and base_from_inside is None:
                base_from_inside = len(frames)
            frames.append(CodeFrame(code.co_filename, frame.f_lineno or 0, code.co_qualname))
            if frame is outermost and base_from_inside is None:
                base_from_inside = len(frames)
        frame = frame.f_back
    frames.reverse()
    base = 0 if base_from_inside is None else len(frames) - base_from_inside
    return frames, base


# The code of middleware that lies around an application: what it calls is the request's own.
base_codes: set[CodeType] = set()


def _is_around_a_call(frame: FrameType) -> bool:
    code = frame.f_code
    return code.co_filename == observing.__file__ or (
        code.co_filename == IMPORT_FILE and code.co_qualname in _IMPORTING
    )


_IMPORTING = frozenset({"function.<locals>.call", "_importing.<locals>.find_and_load"})


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # a callback without a task
        return None


def _request(exchange: Exchange, task: asyncio.Task[Any] | None) -> Request | None:
    scope = exchange[2]
    if callable(scope):
        scope = scope(task) if task is not None else None
    return describe_request(scope) if scope is not None else None


_started: list[Flagger] = []


def _see_who_is_alone() -> None:
    known = list(_started)
    for flagger in known:
        flagger.alone = len(known) == 1 and not observing.served


def _forget_in_child() -> None:
    """A forked child has no thread of ours, and starts anew if it serves."""
    for flagger in _started:
        flagger.started, flagger._stream, flagger._lock = False, None, threading.Lock()
        flagger.alone = False
        patches.forget(flagger)
    _started.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)

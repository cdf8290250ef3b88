"""Notices every loop that runs in the process, in whichever thread.

`run_forever` is where each run passes through, also run_until_complete, asyncio.run,
anyio's portals and uvloop. It is replaced while at least one watch is installed, and put
back with the last. Runs of trio are told by an instrument. Neither uvloop nor trio is imported for that:
they are seen to when the program imports them.

Runs in which nobody's code can run are passed over, and so is a loop with a true attribute `may_block`: it runs
what blocks so that other loops need not. One with an attribute `stall_threshold_ns` has its own threshold.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio.base_events import BaseEventLoop
from collections.abc import Callable
from types import ModuleType
from typing import Any

from loophound.coroutines import coroutine_of
from loophound.detector.adapters.endings import closes_nothing
from loophound.detector.adapters.heartbeat import depth_of
from loophound.detector.adapters.imports import ImportWatch
from loophound.detector.adapters.trio_runs import RUN_MODULE, RunInstrument, TrioRun, wrap_runs
from loophound.observer.page import ON_ASYNCIO, ON_OTHER, ON_TRIO, ON_UVLOOP

# Frames of asyncio between our wrapper and a callback: run_forever, _run_once, Handle._run.
# uvloop is compiled and shows none.
_MACHINERY = {ON_ASYNCIO: 3, ON_UVLOOP: 0, ON_OTHER: 0}

RunBegins = Callable[[asyncio.AbstractEventLoop, int], object]  # the loop, and its base depth
RunEnds = Callable[[Any], None]  # whatever RunBegins gave


class LoopWatch:
    """Calls `begins` and `ends` around each run of a loop, on the loop's own thread."""

    def __init__(self, begins: RunBegins, ends: RunEnds) -> None:
        self.begins = begins
        self.ends = ends

    def install(self) -> None:
        if not _installed:
            _patch()
        _installed.append(self)

    def remove(self) -> None:
        if self in _installed:
            _installed.remove(self)
            if not _installed:
                _put_back()


_installed: list[LoopWatch] = []
_undo: dict[str, Callable[[], None]] = {}  # by what is patched
_told: set[int] = set()  # ids of the loops whose run was told: a patch of ours may lie below another's


def _patch() -> None:
    _wrap(BaseEventLoop)
    imports = ImportWatch()
    imports.install()
    _undo["imports"] = imports.remove
    imports.when_imported("uvloop", lambda uvloop: _wrap(uvloop.Loop))
    imports.when_imported(RUN_MODULE, _wrap_trio)


def _wrap_trio(module: ModuleType) -> None:
    _undo["trio"] = wrap_runs(module, _instrument)


def _instrument() -> RunInstrument | None:
    watches = tuple(_installed)
    if not watches:
        return None

    def begins(run: TrioRun, base: int) -> object:
        return [(watch, watch.begins(run, base)) for watch in watches]  # type: ignore[arg-type]

    def ends(tickets: Any) -> None:
        for watch, ticket in reversed(tickets or []):
            watch.ends(ticket)

    return RunInstrument(begins, ends)


def _put_back() -> None:
    while _undo:
        _undo.popitem()[1]()


def _wrap(loop_class: Any) -> None:
    original = loop_class.run_forever

    def run_forever(self: asyncio.AbstractEventLoop) -> None:
        if not _installed or id(self) in _told or getattr(self, "may_block", False):
            return original(self)  # type: ignore[no-any-return]
        kind = kind_of(self)
        if kind == ON_ASYNCIO and closes_nothing(self):
            return original(self)  # type: ignore[no-any-return]
        base = depth_of(sys._getframe()) + _MACHINERY[kind]
        _told.add(id(self))
        tickets: list[tuple[LoopWatch, object]] = []
        try:
            for watch in tuple(_installed):
                tickets.append((watch, watch.begins(self, base)))
            original(self)
        finally:
            _told.discard(id(self))
            for watch, ticket in reversed(tickets):
                watch.ends(ticket)

    inherited = "run_forever" not in vars(loop_class)
    loop_class.run_forever = run_forever

    def undo() -> None:
        # Somebody who patched after us keeps the patch, and what lies below it tells nobody.
        if vars(loop_class).get("run_forever") is run_forever:
            if inherited:
                del loop_class.run_forever
            else:
                loop_class.run_forever = original

    _undo[loop_class.__name__] = undo


def running_base(loop: asyncio.AbstractEventLoop) -> int:
    """How many frames lead to the task that runs on this thread; 0 where none does."""
    task = asyncio.current_task(loop)
    frame = getattr(coroutine_of(task), "cr_frame", None) if task is not None else None
    return max(0, depth_of(frame) - 1)


def kind_of(loop: asyncio.AbstractEventLoop) -> int:
    if isinstance(loop, BaseEventLoop):
        return ON_ASYNCIO
    if isinstance(loop, TrioRun):
        return ON_TRIO
    uvloop = sys.modules.get("uvloop")
    return ON_UVLOOP if uvloop is not None and isinstance(loop, uvloop.Loop) else ON_OTHER

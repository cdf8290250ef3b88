"""What the observer says by itself: that a stall goes on, while the watched process cannot speak."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from loophound.detector.diagnosis import diagnose
from loophound.detector.episode import Episode
from loophound.detector.machine import ONGOING_NS
from loophound.detector.records import Stall
from loophound.detector.report import Reporter, Scene, make_origin
from loophound.observer.page import ON_ASYNCIO, ON_UVLOOP, Slot
from loophound.source import SourceLines

if TYPE_CHECKING:
    from loophound.observer.process import Settings

LOOP_NAMES = {ON_ASYNCIO: "asyncio", ON_UVLOOP: "uvloop.Loop"}


class Announcer:
    """Writes the ongoing record to the record file and the report to standard error."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._reporter = Reporter(make_origin(), SourceLines())

    def announce(self, slot: Slot, episode: Episode, now_ns: int) -> bool:
        """Tell of what has lasted a second; False when nothing has."""
        settings = self._settings
        findings = diagnose(episode, until_ns=now_ns, threshold_ns=settings.threshold_ns, origin=self._reporter.origin)
        lasting = [f for f in findings if f.span.length_ns >= ONGOING_NS - episode.error_ns]
        scene = Scene(
            pid=settings.pid,
            worker=settings.worker,
            loop=LOOP_NAMES.get(slot.kind, "unknown"),
            thread=thread_name(settings.pid, slot.native_id),
            threshold_ns=settings.threshold_ns,
            error_ns=episode.error_ns,
            beat_ns=episode.beat_ns,
            slot=slot.index,
            ongoing=True,
            wall_offset_ns=time.time_ns() - time.monotonic_ns(),
        )
        for stall in self._reporter.make(lasting, scene):
            self._tell(stall)
        return bool(lasting)

    def _tell(self, stall: Stall) -> None:
        # A full disk or a closed terminal must not end the observer: the watched process
        # writes the final record all the same.
        from loophound.dashboards.recorder import RecordFile

        if self._settings.record is not None:
            with contextlib.suppress(Exception), RecordFile(self._settings.record) as record:
                record(stall)
        if self._settings.announce:
            with contextlib.suppress(Exception):
                self._face()(stall)
                sys.stderr.flush()

    def _face(self) -> Callable[[Stall], None]:
        if self._settings.as_json:
            from loophound.dashboards.json_face import JsonFace

            return JsonFace(sys.stderr)
        from rich.console import Console

        from loophound.dashboards.terminal import TerminalFace

        return TerminalFace(Console(file=sys.stderr))


def thread_name(pid: int, native_id: int) -> str:
    """What the kernel calls the thread; the interpreter's own name cannot be read from outside."""
    if pid == native_id:
        return "MainThread"
    try:
        with open(os.path.join("/proc", str(pid), "task", str(native_id), "comm"), encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return f"thread {native_id}"

"""What the observer says by itself: that a stall goes on, while the watched process cannot speak."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from loophound.detector.blame import culprit_index
from loophound.detector.diagnosis import Finding, diagnose
from loophound.detector.episode import Episode
from loophound.detector.facts import Sampled, Work
from loophound.detector.records import ENDED, Stall
from loophound.detector.report import Reporter, Scene, make_origin
from loophound.observer.attach import Attachment
from loophound.observer.page import ON_ASYNCIO, ON_TRIO, ON_UVLOOP, Slot
from loophound.observer.request import Served
from loophound.source import SourceLines

LOOP_NAMES = {ON_ASYNCIO: "asyncio", ON_UVLOOP: "uvloop.Loop", ON_TRIO: "trio.run"}


class Announcer:
    """Writes the ongoing record to the record file and the report to standard error."""

    def __init__(self, attachment: Attachment) -> None:
        self._attachment = attachment
        self._reporter = Reporter(make_origin(), SourceLines())

    def stalls(
        self,
        slot: Slot,
        episode: Episode,
        now_ns: int,
        *,
        least_ns: int,
        served: Served | None = None,
        ended_with_process: bool = False,
    ) -> list[Stall]:
        """Records of what goes on, and has lasted so long, or has just ended with the process.

        `served` is whose request the loop is in now.
        """
        attachment = self._attachment
        findings = diagnose(
            episode, until_ns=now_ns, threshold_ns=attachment.threshold_ns, origin=self._reporter.origin
        )
        lasting = [in_request(f, served) for f in findings if f.span.length_ns >= least_ns - episode.error_ns]
        if ended_with_process:
            lasting = [replace(finding, interrupted=ENDED) for finding in lasting]
        loop, thread = names_of(slot, attachment.pid)
        scene = Scene(
            pid=attachment.pid,
            worker=attachment.worker,
            loop=loop,
            thread=thread,
            threshold_ns=attachment.threshold_ns,
            error_ns=episode.error_ns,
            beat_ns=episode.beat_ns,
            slot=slot.index,
            ongoing=not ended_with_process,
            wall_offset_ns=time.time_ns() - time.monotonic_ns(),
        )
        return self._reporter.make(lasting, scene)

    def line_of(self, sample: Sampled) -> dict[str, Any] | None:
        """The culprit of one sample, as a Place."""
        index = culprit_index(sample.frames, sample.base, self._reporter.origin)
        if index is None:
            return None
        place = self._reporter.place(sample.frames[index])
        return asdict(place) if place is not None else None

    def announce(self, stall: Stall) -> None:
        """Tell of a stall where it is to be told."""
        # A full disk or a closed terminal must not end the observer: the watched process
        # writes the final record all the same.
        from loophound.dashboards.recorder import RecordFile

        if self._attachment.record is not None:
            with contextlib.suppress(Exception), RecordFile(self._attachment.record) as record:
                record(stall)
        if self._attachment.announce:
            with contextlib.suppress(Exception):
                self._face()(stall)
                sys.stderr.flush()

    def keep(self, stalls: Sequence[Stall]) -> None:
        """Put what has ended into the ledger, where there is one and it can be written."""
        if self._attachment.ledger is None or not stalls:
            return
        with contextlib.suppress(Exception):
            from loophound.ledger.store import append

            append(Path(self._attachment.ledger), stalls)

    def _face(self) -> Callable[[Stall], None]:
        if self._attachment.as_json:
            from loophound.dashboards.json_face import JsonFace

            return JsonFace(sys.stderr)
        from rich.console import Console

        from loophound.dashboards.terminal import TerminalFace

        return TerminalFace(Console(file=sys.stderr))


def in_request(finding: Finding, served: Served | None) -> Finding:
    """The finding with the request, where it is of the task that serves it."""
    if finding.work is not None or finding.sample is None or served is None or finding.sample.unit != served.unit:
        return finding
    return replace(finding, work=Work(None, served.request))


def names_of(slot: Slot, pid: int) -> tuple[str, str]:
    """What loop and thread are called; by the kernel where the process has not told yet."""
    loop, thread = slot.names
    return loop or LOOP_NAMES.get(slot.kind, "unknown"), thread or thread_name(pid, slot.native_id)


def thread_name(pid: int, native_id: int) -> str:
    """What the kernel calls the thread."""
    if pid == native_id:
        return "MainThread"
    try:
        with open(os.path.join("/proc", str(pid), "task", str(native_id), "comm"), encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return f"thread {native_id}"

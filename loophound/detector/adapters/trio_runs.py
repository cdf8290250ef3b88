"""Runs of trio, watched like a loop of asyncio's.

Governed by trio's reference, "Instrument API": `before_io_wait` and `after_io_wait` bracket the
time in which a run waits or, as the guest of another loop, is not called at all. A run that waits
is as alive as one that answers, so the watchdog answers for it; one that does not answers at its
next wait. Nothing is ever put into its queue.

Instruments are given to a run when it starts. `trio._core._run.setup_runner` is where all of them
pass, also those of code that imported `run` by its name before anybody watched.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

from loophound.detector.adapters.heartbeat import WatchedLoop, depth_of
from loophound.detector.facts import LoopBeat
from loophound.observer.page import Slot

LOOP_FUNCTION = "unrolled_run"  # trio's own loop; a task's step is called from it
RUN_FUNCTION = "run"  # calls that loop, from one frame as long as it runs


class TrioRun:
    """One run, with what a detector asks of a loop."""

    def __init__(self) -> None:
        self.waits = False
        self.watched: list[WatchedTrio] = []
        self._runs = True

    def is_running(self) -> bool:
        return self._runs

    def ends(self) -> None:
        self._runs = False


class WatchedTrio(WatchedLoop):
    """Made on the run's own thread, within its loop."""

    may_be_a_guest = True

    def __init__(self, loop: Any, *, base: int, threshold_ns: int, slot: Slot | None) -> None:
        super().__init__(loop, base=base, threshold_ns=threshold_ns, slot=slot)
        self._run: TrioRun = loop
        self._asked = False
        self._run.watched.append(self)

    @staticmethod
    def name_of(loop: object) -> str:
        return "trio.run"

    def ask(self, due_ns: int) -> None:
        self.due_ns = due_ns
        if not self.check():
            return
        self._asked = True
        # Either this sees that the run waits, or the run, which says so first, sees the question.
        if self._run.waits:
            self.beat()

    def beat(self) -> None:
        """From the run's thread, or from the watchdog's while the run waits."""
        if not self._asked:
            return
        self._asked = False
        beat = LoopBeat(time.monotonic_ns(), self.cpu_ns() or 0, time.process_time_ns())
        self.answers.append(beat)
        self._note(beat.at_ns)
        if self.slot is not None:
            self.slot.beat_ns = beat.at_ns

    def stands_at(self, machinery: CodeType, base: int) -> None:
        """A guest is called from anywhere."""
        self.machinery, self.base = machinery, base
        if self.slot is not None:
            self.slot.base = base


class RunInstrument:
    """Given to each run; `begins` and `ends` are called on the run's thread."""

    def __init__(self, begins: Callable[[TrioRun, int], object], ends: Callable[[object], None]) -> None:
        self._begins = begins
        self._ends = ends
        self._run: TrioRun | None = None
        self._ticket: object = None
        self._is_guest = True

    def before_run(self) -> None:
        self._run = TrioRun()
        frame = _machinery(sys._getframe())
        self._is_guest = frame is None or not _is_called_by_run(frame)
        self._ticket = self._begins(self._run, depth_of(frame))
        self._find_place(self._run)

    def after_run(self) -> None:
        if self._run is not None:
            self._run.ends()
            self._ends(self._ticket)

    def before_io_wait(self, timeout: float) -> None:
        if self._run is not None:
            self._run.waits = True
            for watched in self._run.watched:
                watched.beat()

    def after_io_wait(self, timeout: float) -> None:
        if self._run is not None:
            if self._is_guest:  # to walk the stack at each turn cost a test suite on trio 1.5 %
                self._find_place(self._run)
            self._run.waits = False

    def _find_place(self, run: TrioRun) -> None:
        here = sys._getframe()
        frame = _machinery(here)
        code, base = (frame or here).f_code, depth_of(frame)
        for watched in run.watched:
            watched.stands_at(code, base)


def _machinery(frame: FrameType) -> FrameType | None:
    """The frame of trio's own loop."""
    above: FrameType | None = frame
    while above is not None and above.f_code.co_name != LOOP_FUNCTION:
        above = above.f_back
    return above


def _is_called_by_run(frame: FrameType) -> bool:
    caller = frame.f_back.f_code if frame.f_back is not None else None
    return caller is not None and (caller.co_name, caller.co_filename) == (RUN_FUNCTION, frame.f_code.co_filename)


def wrap_setup(instrument: Callable[[], Any]) -> Callable[[], None] | None:
    """Give each run of trio an instrument of its own from now on; what undoes it, None without trio.

    `instrument` may give None for a run that nobody watches.
    """
    module = sys.modules.get("trio._core._run")
    original = getattr(module, "setup_runner", None)
    if module is None or original is None:
        return None

    def setup_runner(clock: Any, instruments: Any, *args: Any, **options: Any) -> Any:
        ours = instrument()
        return original(clock, [*instruments, ours] if ours is not None else instruments, *args, **options)

    def undo() -> None:
        if getattr(module, "setup_runner", None) is setup_runner:
            module.setup_runner = original  # type: ignore[attr-defined]

    module.setup_runner = setup_runner  # type: ignore[attr-defined]
    return undo

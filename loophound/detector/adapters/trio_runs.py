"""Runs of trio, watched like a loop of asyncio's.

The generator that is trio's loop stands still while its run waits or, as the guest of another loop, is
not called at all. A run that waits is as alive as one that answers, so the watchdog answers for
it; one that does not answers at its next wait, by an instrument (trio's reference, "Instrument API") that
is there for as long as the question is. Nothing is ever put into its queue.

`unrolled_run` of `RUN_MODULE` makes that generator. There all runs pass, also those of code that
imported `run` by its name before anybody watched.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from types import CodeType, FrameType, GeneratorType, ModuleType
from typing import Any
from weakref import ref

from loophound.detector.adapters.heartbeat import WatchedLoop, depth_of
from loophound.detector.facts import LoopBeat
from loophound.observer.page import Slot

RUN_MODULE = "trio._core._run"
LOOP_FUNCTION = "unrolled_run"  # trio's own loop; a task's step is called from it
Hooks = dict[str, dict[object, None]]  # trio's: by the name of a hook, the instruments that have it
RUN_FUNCTION = "run"  # calls that loop, from one frame as long as it runs


class TrioRun:
    """One run, with what a detector asks of a loop."""

    def __init__(self, generator: GeneratorType[Any, Any, Any], listen: Callable[[], None]) -> None:
        self.watched: list[WatchedTrio] = []
        self.listen = listen  # have them beat at the next wait; from any thread
        self._generator = ref(generator)  # no more: trio learns from its collection that a run was abandoned
        self._runs = True

    @property
    def waits(self) -> bool:
        generator = self._generator()
        return generator is not None and not generator.gi_running

    def stands_at(self, machinery: CodeType, base: int) -> None:
        for watched in self.watched:
            watched.stands_at(machinery, base)

    def is_running(self) -> bool:
        return self._runs

    def ends(self) -> None:
        self._runs = False
        self.watched.clear()


class WatchedTrio(WatchedLoop):
    """Made on the run's own thread, within its loop."""

    may_be_a_guest = True

    def __init__(self, loop: Any, *, base: int, threshold_ns: int, slot: Slot | None) -> None:
        super().__init__(loop, base=base, threshold_ns=threshold_ns, slot=slot)
        self._run: TrioRun = loop
        self._asked = False
        self._run.watched.append(self)

    @staticmethod
    def name_of(loop_class: type) -> str:
        return "trio.run"

    def ask(self, due_ns: int) -> None:
        self.due_ns = due_ns
        if not self.check():
            return
        self._asked = True
        self.look()

    def look(self) -> None:
        # Again at each tick: a run may have begun to wait just before it could see that it was asked.
        if self._asked and not self.ended_ns:
            if self._run.waits:
                self.beat()
            else:
                self._run.listen()

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
    """One for each run; `begins` and `ends` are called on the run's thread."""

    def __init__(self, begins: Callable[[TrioRun, int], object], ends: Callable[[object], None]) -> None:
        self._begins = begins
        self._ends = ends
        self._run: TrioRun | None = None
        self._hooks: Hooks = {}
        self._ticket: object = None

    def join(self, instruments: Any, generator: GeneratorType[Any, Any, Any]) -> None:
        """Take part in the run that this generator is, before it starts."""
        self._hooks = getattr(instruments, "data", instruments)  # a dictionary, or around one
        self._hooks["_all"][self] = None
        self._hook("before_run")
        self._hook("after_run")
        self._run = TrioRun(generator, lambda: self._hook("before_io_wait"))

    def _hook(self, name: str) -> None:
        # As `add_instrument` does, which looks at each attribute: a tenth of what it costs to start a run.
        # To add a key to a dictionary is one step to other threads.
        self._hooks.setdefault(name, {})[self] = None

    def before_run(self) -> None:
        run = self._run
        if run is not None:
            code, base, is_guest = _place()
            self._ticket = self._begins(run, base)
            run.stands_at(code, base)
            if is_guest:
                self._hook("after_io_wait")  # to walk the stack at each turn cost a test suite on trio 1.5 %

    def after_run(self) -> None:
        run, ticket, hooks = self._run, self._ticket, self._hooks
        # What refers to each other is garbage that waits for a collection, and makes the program collect more often.
        self._run, self._ticket, self._hooks = None, None, {}
        if run is not None:
            run.ends()
            self._ends(ticket)
        for instruments in list(hooks.values()):  # the watchdog may be adding one
            instruments.pop(self, None)

    def before_io_wait(self, timeout: float) -> None:
        # The dictionary stays: another thread may be adding to it.
        self._hooks["before_io_wait"].pop(self, None)
        if self._run is not None:
            for watched in self._run.watched:
                watched.beat()

    def after_io_wait(self, timeout: float) -> None:
        if self._run is not None:
            code, base, _ = _place()
            self._run.stands_at(code, base)


def _place() -> tuple[CodeType, int, bool]:
    """Code and depth of trio's own loop, by which an instrument is called, and whether its run is a guest.

    No caller may keep its own frame: that is a cycle, and holds the locals of all that lie below it.
    """
    caller = sys._getframe(1).f_code
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_name != LOOP_FUNCTION:
        frame = frame.f_back
    if frame is None:
        return caller, 0, True
    below = frame.f_back.f_code if frame.f_back is not None else None
    is_own = below is not None and (below.co_name, below.co_filename) == (RUN_FUNCTION, frame.f_code.co_filename)
    return frame.f_code, depth_of(frame), not is_own


def wrap_runs(module: ModuleType, instrument: Callable[[], RunInstrument | None]) -> Callable[[], None]:
    """Give each run of trio an instrument of its own from now on; what undoes it. `module` is `RUN_MODULE`.

    `instrument` may give None for a run that nobody watches. Raises AttributeError for a trio that runs in another way.
    """
    original = getattr(module, LOOP_FUNCTION)

    def make_run(runner: Any, *args: Any, **options: Any) -> Any:
        ours, run = instrument(), original(runner, *args, **options)
        if ours is not None:
            # A trio that keeps its instruments in another way is not watched.
            with suppress(AttributeError, KeyError, TypeError):
                ours.join(runner.instruments, run)
        return run

    def undo() -> None:
        if getattr(module, LOOP_FUNCTION, None) is make_run:
            setattr(module, LOOP_FUNCTION, original)

    setattr(module, LOOP_FUNCTION, make_run)
    return undo

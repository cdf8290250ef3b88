"""One detector for the session, the loops that ran, and the stalls that were seen."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from loophound.detector.adapters.loops import LoopWatch
from loophound.detector.allowances import Allowance
from loophound.detector.detector import Detector
from loophound.detector.records import Stall
from loophound.errors import ConfigError
from loophound.pytest_plugin.timeline import END_OF_TIME_NS, LiveFixture

if TYPE_CHECKING:
    from loophound.observer.hosting import Hosting

# A detector with a long threshold takes long to prove itself, and is no cheaper than this.
COARSEST_MS = 250.0
PATIENCE_S = 1.0
MOST_ENDED_RUNS = 256
WATCH = pytest.StashKey["Watch"]()


@dataclass(slots=True, eq=False)
class Run:
    """One run of a loop: on which thread, and during the set-up of which fixture it began."""

    thread: str
    on_main_thread: bool
    began_ns: int
    fixture: LiveFixture | None
    ended_ns: int = END_OF_TIME_NS


@dataclass(slots=True, eq=False)
class Sighting:
    """A stall, its times on the monotonic clock, and the run in which it was."""

    stall: Stall
    began_ns: int
    ended_ns: int
    run: Run | None
    expected: bool = False

    @property
    def middle_ns(self) -> int:
        return (self.began_ns + self.ended_ns) // 2


class Watch:
    """`fixture_now` tells which fixture is being set up, if any. `feed_of` is what a live feed calls the project.

    Raises pytest.UsageError where that feed cannot be.
    """

    def __init__(
        self,
        limit_ms: float,
        *,
        allowances: Sequence[Allowance] = (),
        fixture_now: Callable[[], LiveFixture | None] = lambda: None,
        feed_of: str | None = None,
    ) -> None:
        self.limit_ms = limit_ms  # of the test that runs
        self.sightings: list[Sighting] = []
        threshold_s = min(limit_ms, COARSEST_MS) / 1000
        self._hosting = hosting_of(feed_of, threshold_s) if feed_of is not None else None
        self.detector = Detector(threshold_s, on_stall=self._arrive, allowances=allowances, hosting=self._hosting)
        self._fixture_now = fixture_now
        self._loops = LoopWatch(self._begins, self._ends)
        self._running: list[Run] = []
        self._ended: deque[Run] = deque(maxlen=MOST_ENDED_RUNS)
        self._began_ns = 0
        self._shortest_ns = self.detector.threshold_ns // 2  # there is no stall in a shorter run

    def start(self) -> None:
        exempt_from_frozen_time()
        self._began_ns = time.monotonic_ns()
        self.detector.start()
        self._loops.install()

    def stop(self) -> None:
        self._loops.remove()
        self.detector.stop()
        if self._hosting is not None:
            self._hosting.close()

    def settle(self) -> None:
        """Returns when the stalls that are over are in `sightings`; not for a loop's thread."""
        self.detector.settle(PATIENCE_S)

    def _begins(self, loop: asyncio.AbstractEventLoop, base: int) -> Run:
        thread = threading.current_thread()
        run = Run(thread.name, thread is threading.main_thread(), time.monotonic_ns(), self._fixture_now())
        self._running.append(run)
        return run

    def _ends(self, run: Run) -> None:
        run.ended_ns = time.monotonic_ns()
        if run.ended_ns - run.began_ns >= self._shortest_ns:
            self._ended.append(run)
        self._running.remove(run)

    def _arrive(self, stall: Stall) -> None:
        """On the faces' thread."""
        if stall.ongoing:
            return
        now_ns, length_ns = time.monotonic_ns(), int(stall.duration_s * 1e9)
        began_ns = int(datetime.fromisoformat(stall.at).timestamp() * 1e9) + now_ns - time.time_ns()
        if not self._began_ns <= began_ns <= now_ns - length_ns // 2:
            began_ns = now_ns - length_ns  # somebody set the clock, or faked it
        self.sightings.append(
            Sighting(stall, began_ns, began_ns + length_ns, self._run_of(stall, began_ns + length_ns // 2))
        )

    def _run_of(self, stall: Stall, at_ns: int) -> Run | None:
        runs = [*self._running, *reversed(self._ended)]
        return next((run for run in runs if run.thread == stall.thread and run.began_ns <= at_ns < run.ended_ns), None)


def hosting_of(project: str, threshold_s: float) -> Hosting:
    from loophound.observer.hosting import Hosting

    try:
        return Hosting(about={"app": project, "command": "pytest", "threshold_s": threshold_s})
    except ConfigError as error:
        raise pytest.UsageError(str(error)) from None


def exempt_from_frozen_time() -> None:
    """freezegun stops the monotonic clock for everybody whom it was not told to leave alone."""
    freezegun = sys.modules.get("freezegun")
    if freezegun is not None:
        freezegun.configure(extend_ignore_list=["loophound."])

"""The detector, wired: the one object that a program or a command uses."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Self

from loophound import allowing
from loophound.detector.adapters.executors import executors
from loophound.detector.adapters.feeding import Feeding
from loophound.detector.adapters.heartbeat import WatchedLoop, depth_of
from loophound.detector.adapters.link import ObserverLink, ObserverUnavailable
from loophound.detector.adapters.loops import LoopWatch, kind_of, running_base
from loophound.detector.adapters.serving import ServerHooks
from loophound.detector.adapters.snapshots import Loops, Requests, snapshot_of
from loophound.detector.adapters.tasks import Tasks
from loophound.detector.adapters.trio_runs import TrioRun, WatchedTrio
from loophound.detector.adapters.watchdog import Incident, Watchdog
from loophound.detector.adapters.work import Keeping
from loophound.detector.allowances import Allowance, Allowances
from loophound.detector.blame import culprit_index
from loophound.detector.explaining import Explainer
from loophound.detector.facts import Sampled
from loophound.detector.records import BlockingCall, Cause, Snapshot, Stall
from loophound.detector.report import Reporter, make_origin
from loophound.detector.settling import Settling
from loophound.detector.stream import Face, Stream, tell
from loophound.detector.tracing import Tracing
from loophound.errors import ConfigError
from loophound.observer.page import ON_ASYNCIO
from loophound.server.hooks import Served
from loophound.source import SourceLines
from loophound.times import now_iso

if TYPE_CHECKING:
    from loophound.dashboards.recorder import RecordFile
    from loophound.detector.adapters.interrupt import Interrupter
    from loophound.detector.facts import Sampled
    from loophound.observer.hosting import Hosting

# In what parts of a threshold silence is counted: where the beginning of a stall is not known better, a beat is due in
# each, so that a stall 20 % above it is seen at every phase. What a healthy loop pays is the number of wakes: each
# costs 0.1 ms of cold caches, whatever is done in it.
BEATS_IN_A_THRESHOLD = 5
SHORTEST_INTERVAL_NS = 2_000_000
LONGEST_INTERVAL_NS = 100_000_000
SETTLING_PAUSE_S = 0.002
# Not the program's doing: the machine had no CPU to give, or somebody stopped the process.
NOT_THE_PROGRAM = frozenset({Cause.STARVED, Cause.SUSPENDED})


class Detector:
    """Watches every loop that runs in this process between `start()` and `stop()`.

    `threshold` is in seconds. `on_stall` and `faces` are called on a thread of the
    detector's, once as a stall ends, and once before with `ongoing` set when it outlasts a
    second. `record` appends each stall to a file, one JSON object a line; a stall in which the process is
    killed the observer process adds, to `ledger` too. With `announce`,
    the observer process reports on standard error a stall that goes on while this process
    cannot, as a JSON line where `as_json` says so. `observer` may be the socket at which the
    observer of a supervisor is reached (loophound.observer.supervise), whose worker number `worker`
    this process is; else the process starts its own, which shows what `hosting` says: the live
    feed, for example. `tracing` is told of stalls with the contexts of their tasks. Stalls in code
    that `allowances` or `loophound.allow_blocking()` cover are counted in
    `allowed`, and not shown. Other code that blocks for longer than `stall_limit` seconds is interrupted by a
    StallLimitExceeded, where Python allows; in the main thread only where `start()` is called there. Raises
    ConfigError for a threshold that is not above zero, a limit below twice the threshold, or a record file
    that cannot be written.
    """

    def __init__(
        self,
        threshold: float = 0.1,
        *,
        on_stall: Callable[[Stall], None] | None = None,
        record: str | os.PathLike[str] | None = None,
        ledger: str | os.PathLike[str] | None = None,
        faces: Sequence[Face] = (),
        observer: bool | str | os.PathLike[str] = True,
        announce: bool = False,
        as_json: bool = False,
        hosting: Hosting | None = None,
        worker: int = 0,
        stall_limit: float | None = None,
        tracing: Tracing | None = None,
        allowances: Sequence[Allowance] = (),
    ) -> None:
        if not 0 < threshold < float("inf"):
            raise ConfigError(f"the threshold is a number of seconds above 0, such as 0.1; got {threshold!r}")
        if threshold * 1e9 < 2 * SHORTEST_INTERVAL_NS:
            raise ConfigError(
                f"a threshold of {threshold * 1000:g} ms is below what can be told apart: it is at least"
                f" {2 * SHORTEST_INTERVAL_NS / 1e6:g} ms, and CPython itself hands the GIL over after 5 ms"
            )
        self.threshold_ns = int(threshold * 1e9)
        self.interval_ns = min(
            max(self.threshold_ns // BEATS_IN_A_THRESHOLD, SHORTEST_INTERVAL_NS), LONGEST_INTERVAL_NS
        )
        if stall_limit is not None and not stall_limit >= 2 * threshold:
            raise ConfigError(
                f"the stall limit is a number of seconds, at least twice the threshold; got {stall_limit!r}"
            )
        self._limit_ns = int(stall_limit * 1e9) if stall_limit is not None else None
        self.stalls = 0
        self.calls = 0  # flagged
        self._shown: list[Face] = []
        self._allowances = Allowances(allowances)
        self.observer_problem: str | None = None
        self.hooks = ServerHooks(self)
        self._faces = [self._count, *faces, *([on_stall] if on_stall else [])]
        self._record_file: RecordFile | None = None
        self._record = os.path.abspath(record) if record is not None else None
        self._ledger = os.path.abspath(ledger) if ledger is not None else None
        self._with_observer = bool(observer)
        self._observer = None if isinstance(observer, bool) else os.fspath(observer)
        self._hosting = hosting
        self._tracing = tracing
        self.worker = worker
        self._announce = announce
        self._as_json = as_json
        self._reporter = Reporter(make_origin(), SourceLines())
        self._explainer = Explainer(
            self._reporter,
            self._allowances,
            tracing,
            limit_ns=self._limit_ns,
            worker=worker,
        )
        self._loops: list[WatchedLoop] = []
        self._settling = Settling()
        self._served: dict[int, Served] = {}  # by id of the loop
        self._armed = False
        self._pid = 0
        self._feeding: Feeding | None = None

    def start(self) -> None:
        """Arm it. Loops that start from now on are watched, and the one that runs here, if any."""
        if self._armed:
            return
        from loophound.observer.calibrate import this_thread_state

        self._this_thread_state = this_thread_state
        if self._record is not None:
            from loophound.dashboards.recorder import RecordFile

            self._record_file = RecordFile(self._record)
            self._faces.append(self._record_file)
        self._armed, self._pid = True, os.getpid()
        self._started_ns = time.monotonic_ns()
        self._loops_taken, self._requests = Loops(), Requests()
        self._tasks = Tasks(self._reporter.origin.is_app)
        self._link = self._start_observer()
        self._feeding = self._start_feeding()
        if self._feeding is not None:
            self._shown = [self._feeding.show, self._requests.held]
            self._faces += self._shown
        self._stream: Stream[Incident, Stall] = Stream(self._explain, self._faces)
        self._stream.start()
        self._interrupter = self._start_interrupter()
        self._watchdog = Watchdog(
            interval_ns=self.interval_ns,
            link=self._link,
            report=self._stream.put,
            interrupter=self._interrupter,
        )
        self._watchdog.ended = self._loop_ends
        if self._tracing is not None:
            Keeping.contexts = True
        if self._feeding is not None:
            self._watchdog.begun = self._stall_begun
        self._watchdog.start()
        if self._feeding is not None:
            self._feeding.listeners += [self._tracing.measured] if self._tracing is not None else []
            self._feeding.worker("ready")
            self._feeding.start()
        self._loop_watch = LoopWatch(self._loop_begins, self._loop_ends)
        self._loop_watch.install()
        _started.append(self)
        allowing.listeners.append(self._permit_changed)
        running = asyncio._get_running_loop()
        if running is not None:
            self._loop_begins(running, running_base(running))

    def join_running(self) -> None:
        """Watch the loop that runs here by now: to be called by a callback of it, after `start()` elsewhere."""
        loop = asyncio.get_running_loop()
        if all(watched.loop is not loop for watched in self._loops):
            # Above the caller of our caller lies the loop's machinery.
            self._loop_begins(loop, depth_of(sys._getframe(1)) - 1)

    def stop(self) -> None:
        """Undo everything; returns when the last stalls have been shown."""
        if not self._armed:
            return
        self._armed = False
        _started.remove(self)
        allowing.listeners.remove(self._permit_changed)
        self._loop_watch.remove()
        self._watchdog.stop()
        if self._interrupter is not None:
            self._interrupter.remove()
        self._stream.close()
        for watched in list(self._loops):  # runs that go on, and such that nobody told the end of
            self._loop_ends(watched)
        if self._tracing is not None:
            Keeping.contexts = False
        if self._feeding is not None:
            self._feeding.stop()
        self._close_files()

    def _close_files(self) -> None:
        if self._feeding is not None:
            for face in self._shown:
                self._faces.remove(face)
            self._shown, self._feeding = [], None
        if self._link is not None:
            self._link.close()
        if self._record_file is not None:
            self._faces.remove(self._record_file)
            self._record_file.close()
            self._record_file = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def abandon(self) -> None:
        """After a fork, in the child: nothing is watched there, and nothing is left behind."""
        self._armed = False
        _started.remove(self)
        allowing.listeners.remove(self._permit_changed)
        self._loop_watch.remove()
        self._watchdog.abandon()
        if self._interrupter is not None:
            self._interrupter.remove()
        for watched in self._loops:
            watched.slot = None  # its beats would go on into the parent's page
        self._loops.clear()
        self._close_files()
        if self._hosting is not None:
            self._hosting.close()  # or the child would seem to be a server, once its parent has ended
            self._hosting = None

    def snapshots(self) -> list[Snapshot]:
        """How each loop has done: lag and utilisation, also of a few that have ended. For any thread."""
        if self._pid != os.getpid():
            return []
        return [snapshot_of(self._pid, loop, thread, stats) for loop, thread, stats in self._watchdog.stats]

    @property
    def allowed(self) -> int:
        """How many stalls were in code that is allowed to block."""
        return self._explainer.allowed

    @property
    def unused_allowances(self) -> list[Allowance]:
        """Those that covered no stall since the start."""
        return self._allowances.unused

    def settled(self) -> bool:
        """Whether no loop is late, and every stall that is over has been shown.

        Costs some microseconds. A loop that `settle()` has given up does not count until it answers.
        """
        if not self._armed or (not self._loops and self._settling.told_all):  # as after nearly every test of a suite
            return True
        return self._settling.settled(self._loops, self._watchdog.reported_ns, lambda: self._stream.idle)

    def settle(self, timeout_s: float = 1.0) -> bool:
        """Wait until `settled()`, which takes about 70 ms after a stall and no time without one.

        Not for the thread of a loop, which would wait for itself. After `timeout_s` it gives up,
        for good, what it waited for, and returns False.
        """
        deadline_s = time.monotonic() + timeout_s
        while not self.settled():
            if time.monotonic() >= deadline_s:
                self._settling.give_up(self._loops)
                return False
            time.sleep(SETTLING_PAUSE_S)
        return True

    def wait_for_observer(self) -> bool:
        """Wait some seconds until the observer process looks; False when there is none."""
        return self._link is not None and self._link.wait_until_ready()

    def _start_observer(self) -> ObserverLink | None:
        if not self._with_observer:
            self.observer_problem = "it was not asked for"
            return None
        try:
            return ObserverLink(
                {
                    "threshold_ns": self.threshold_ns,
                    "interval_ns": self.interval_ns,
                    "announce": self._announce,
                    "as_json": self._as_json,
                    "record": self._record,
                    "ledger": self._ledger,
                    "worker": self.worker,
                    "limit_ns": self._limit_ns or 0,
                },
                observer=self._observer,
                hosting=self._hosting,
            )
        except ObserverUnavailable as problem:
            self.observer_problem = str(problem)
            tell(f"no observer process ({problem}): a C call that holds the GIL is named only after it has ended")
            if self._hosting is not None:
                self._hosting.close()
                tell("without it there are no live feed and no metrics")
            return None

    def _start_feeding(self) -> Feeding | None:
        shows = self._hosting is not None or self._observer is not None or self._tracing is not None
        if self._link is None or not shows:
            return None
        return Feeding(self._link, self._snapshot)

    # On the feed's thread

    def _snapshot(self, wanted: bool) -> dict[str, Any]:
        link = self._link
        loops = [watched.loop for watched in list(self._loops)]
        served = list(self._served.values())
        if served and all(each.leaving for each in served):
            self.tell_worker("stopping")
        return {
            "type": "snapshot",
            "at": now_iso(),
            "uptime_s": round((time.monotonic_ns() - self._started_ns) / 1e9, 3),
            "loops": self._loops_taken.take(self._pid, self._watchdog.stats),
            **self._requests.take(served, wanted),
            "tasks": self._tasks_of(loops) if wanted else None,
            "executors": executors(loops),
            "calls": self.calls,
            "dropped": {
                "stalls": self._stream.dropped,
                "samples": link.dropped if link is not None else 0,
                "snapshots": link.unsent if link is not None else 0,
            },
        }

    def _tasks_of(self, loops: Sequence[asyncio.AbstractEventLoop]) -> dict[str, Any]:
        taken = [self._tasks.take(loop) for loop in loops]
        return {
            "total": sum(part["total"] for part in taken),
            "shown": [task for part in taken for task in part["shown"]],
        }

    # On the thread of a loop

    def _loop_begins(self, loop: asyncio.AbstractEventLoop, base: int) -> WatchedLoop | None:
        if not self._armed or os.getpid() != self._pid:
            return None
        for watched in list(self._loops):
            if watched.loop is loop:  # of a run that began before the detector did: nobody told of its end
                self._loop_ends(watched)
        watched_as = WatchedTrio if isinstance(loop, TrioRun) else WatchedLoop
        slot, link = None, self._link
        if link is not None:
            kind = kind_of(loop)
            slot = link.page.occupy(
                self._this_thread_state(),
                threading.get_native_id(),
                kind,
                base=base,
                names=f"{watched_as.name_of(type(loop))}\n{threading.current_thread().name}",
                turn_in_frame=link.turn_in_frame if kind == ON_ASYNCIO else 0,
            )
        threshold_ns = getattr(loop, "stall_threshold_ns", self.threshold_ns)
        watched = watched_as(loop, base=base, threshold_ns=threshold_ns, slot=slot)
        served = self._served.get(id(loop))
        watched.exchanges = served.exchanges if served is not None else None
        if link is not None:
            watched.read_turns(link.own_memory, link.layout)
        self._loops.append(watched)
        if self._interrupter is not None:
            self._interrupter.watch(watched)
        self._watchdog.watch(watched)
        return watched

    def _loop_ends(self, watched: WatchedLoop | None) -> None:
        # The watchdog tells of each end too: of a run that began before us nobody else does.
        if watched is None or os.getpid() != self._pid or watched not in self._loops:
            return
        watched.stop()
        if watched.late_ns:
            self._settling.ended(watched)
        try:
            self._loops.remove(watched)
        except ValueError:
            return  # both at once
        watched.let_go()
        self._watchdog.over(watched)
        if watched.slot is not None:
            watched.slot.release()

    def _permit_changed(self, thread: int, begins: bool) -> None:
        for watched in self._loops:
            if watched.ident == thread:
                watched.permit(begins)

    def disregard(self, loop: asyncio.AbstractEventLoop) -> None:
        """A server starts on this loop: importing an application keeps nobody waiting."""
        for watched in self._loops:
            if watched.loop is loop:
                watched.hush()

    def attend(self, loop: asyncio.AbstractEventLoop, served: Served | None) -> None:
        """A server tells that it serves on a loop, or that it has ended."""
        if served is None:
            self._served.pop(id(loop), None)
        else:
            self._served[id(loop)] = served
        exchanges = served.exchanges if served is not None else None
        for watched in self._loops:
            if watched.loop is loop:
                watched.exchanges = exchanges
                if exchanges is not None:
                    self._watchdog.forget_stats(watched)
                watched.heed()

    def tell_about(self, **about: Any) -> None:
        """What the feed's "hello" is to say."""
        if self._feeding is not None:
            self._feeding.say({"type": "about", "about": about}, standing=True)

    def show_call(self, call: BlockingCall) -> None:
        """A flagged call, for the feed."""
        self.calls += 1
        if self._tracing is not None:
            self._tracing.called(call)
        if self._feeding is not None:
            self._feeding.say({"type": "call", "call": call.to_dict()})

    def tell_worker(self, state: str) -> None:
        """The feed is told of it, on another thread."""
        if self._feeding is not None:
            self._feeding.worker(state)

    # On the watchdog's thread

    def _stall_begun(self, watched: WatchedLoop, beat_ns: int, sample: Sampled) -> None:
        tracing, work, feeding = self._tracing, sample.work, self._feeding
        if work is None or feeding is None:
            return
        if work.request is not None and watched.slot is not None:
            at = {"slot": watched.slot.index, "beat_ns": beat_ns}
            feeding.say({"type": "begun", **at, "request": asdict(work.request)})
        if tracing is None or work.context is None:
            return
        index = culprit_index(sample.frames, sample.base, self._reporter.origin)
        culprit = sample.frames[index] if index is not None else None
        feeding.later(lambda: tracing.began(self._reporter.place(culprit), work.context))

    def _start_interrupter(self) -> Interrupter | None:
        if self._limit_ns is None:
            return None
        from loophound.detector.adapters.interrupt import Interrupter

        interrupter = Interrupter(self._limit_ns, self._reporter.origin, self._link, self._explainer.is_meant)
        interrupter.install()
        return interrupter

    # On the faces' thread

    def _explain(self, incident: Incident) -> list[Stall]:
        observed = self._link is not None and self._link.ready and not self._link.lost
        return self._explainer.explain(incident, observed=observed)

    def _count(self, stall: Stall) -> None:
        if not stall.ongoing and stall.cause not in NOT_THE_PROGRAM:
            self.stalls += 1


_started: list[Detector] = []


def _forget_in_child() -> None:
    """A forked child has no watchdog thread and must not write into its parent's page."""
    for detector in list(_started):
        detector.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)

"""One running loop under watch: it answers pings, and remembers who waited.

`beat` and `settle` are all that ever runs on the loop's thread: a few microseconds, at most forty
times a second, and never while it rests. A ping by call_soon_threadsafe reaches every loop, uvloop included.
"""

from __future__ import annotations

import asyncio
import selectors
import sys
import threading
import time
from collections.abc import Callable, Iterable
from types import CodeType, FrameType

from loophound.detector.adapters.current_frames import current_frames
from loophound.detector.adapters.turns import UvTime, place_in_frame, uv_time
from loophound.detector.facts import LoopBeat, LoopStopped, SeenAlive
from loophound.observer.layout import Layout
from loophound.observer.memory import ProcessMemory
from loophound.observer.page import ON_ASYNCIO, ON_UVLOOP, Slot
from loophound.observer.turns import MS_NS, turn_began_ns
from loophound.server.hooks import Exchange

NEVER_NS = 1 << 62
# By then what piled up while the loop was blocked has been read: uvloop accepts about one new
# connection a turn (measured: a dozen were all read after 16 turns, eight after 8), and asyncio
# queues the callbacks of ready sockets behind what call_soon has put there already.
SETTLING_TURNS = 16
# A thread that used no more of the time since the last look may have been waiting for events all the time.
HARDLY_RAN = 0.05
MOST_UNASKED = 3
MOST_CROWDS = 4
Exchanges = Callable[[], Iterable[Exchange]]


class Crowd:
    """The exchanges that were there when a late loop had read what had piled up."""

    def __init__(self, late_beat_ns: int, settled_ns: int, exchanges: tuple[Exchange, ...]) -> None:
        self.late_beat_ns = late_beat_ns
        self.settled_ns = settled_ns
        self.exchanges = exchanges


class Over(asyncio.AbstractEventLoop):
    """In place of a loop that has been let go."""

    def is_running(self) -> bool:
        return False


OVER = Over()  # type: ignore[abstract]  # at run time nothing is abstract in it


class WatchedLoop:
    """Made on the loop's own thread, when it starts to run."""

    may_be_a_guest = False  # of another loop, whose code stands where its own would
    # What holds until something else is known; here, because a suite of tests makes some thousands of these.
    machinery: CodeType | None = None  # the innermost frame of the loop's own machinery
    exchanges: Exchanges | None = None
    crowds: tuple[Crowd, ...] = ()  # the last few
    quiet_until_ns = 0  # silences that began before are not reported
    due_ns = 0
    late_ns = 0  # when it had last answered after a silence that may have been a stall
    ended_ns = 0  # when the run ended, or the watch of it
    looked_at = False  # by the watchdog, which waits for its end
    generation = 0
    tells_turns = False  # samples have the time at which its turn began
    _memory: tuple[ProcessMemory, Layout] | None = None
    _uv_time: UvTime | None = None
    _uv_ms = 0
    _unasked = 0  # looks since it was last asked at which it was seen to turn
    _looked = (0, 0)  # when it was last looked at without asking, and the thread's CPU time
    _rested_cpu_ns = -1  # the thread's CPU time when it was seen waiting for events

    def __init__(self, loop: asyncio.AbstractEventLoop, *, base: int, threshold_ns: int, slot: Slot | None) -> None:
        self.loop = loop
        self._loop_class = type(loop)
        self.thread_name = threading.current_thread().name  # as it is now: one thread may do one job after another
        self.ident = threading.get_ident()
        self.native_id = threading.get_native_id()
        # Now, on the thread: of one that has ended, to ask reads memory that is another's, or nobody's.
        self.clock_id = time.pthread_getcpuclockid(self.ident) if hasattr(time, "pthread_getcpuclockid") else None
        self.base = base
        self.slot = slot
        self.answers: list[LoopBeat | LoopStopped] = []  # no more than questions, and its end
        self.threshold_ns = threshold_ns
        # The clocks' own numbers: most runs are over before anybody wants a beat of them.
        self.began_ns = time.monotonic_ns()
        self._began_cpu_ns, self._began_process_ns = time.thread_time_ns(), time.process_time_ns()
        if slot is not None:
            self.generation, self.began_ns = slot.run, slot.began_ns
        self.answered_ns = self.began_ns

    @property
    def loop_name(self) -> str:
        return self.name_of(self._loop_class)

    @property
    def first_beat(self) -> LoopBeat:
        return LoopBeat(self.began_ns, self._began_cpu_ns, self._began_process_ns)

    def read_turns(self, memory: ProcessMemory, layout: Layout) -> None:
        """Find out when the loop's turns begin by reading its memory. On the loop's own thread."""
        self._memory = memory, layout
        if self.slot is not None and self.slot.kind == ON_UVLOOP:
            self._uv_time = uv_time(self.loop, memory)
            if self._uv_time is not None:
                self.slot.keeps_time_at(self._uv_time.place)
                self.tells_turns = True

    def pace(self, pace_ns: int) -> None:
        """Beats are due that often."""
        slot = self._own_slot()
        if slot is not None:
            slot.pace_ns = pace_ns

    def tell_lag(self, lag_ns: int) -> None:
        """How late it was with its last beat."""
        slot = self._own_slot()
        if slot is not None:
            slot.lag_ns = lag_ns

    def _own_slot(self) -> Slot | None:
        """From the watchdog's thread: the run may be over, and its slot another's."""
        slot = self.slot
        return slot if slot is not None and slot.generation == self.generation else None

    def rests(self, now_ns: int) -> bool:
        """Whether its thread has not run since it was seen waiting for events. Called by the watchdog."""
        if self.cpu_ns() != self._rested_cpu_ns or self.ended_ns:
            return False
        self.answered_ns = now_ns
        if self.slot is not None:
            self.slot.beat_ns = now_ns
        return True

    def rested(self, at_ns: int) -> SeenAlive:
        """That it rested until then."""
        return SeenAlive(at_ns, self._rested_cpu_ns, time.process_time_ns(), 0)

    def seen_alive(self, now_ns: int, fresh_ns: int, waits_for_events: Callable[[], bool]) -> SeenAlive | None:
        """What shows that it turns, or has had nothing to do, without asking it. Called by the watchdog.

        It turned if the time of its turn is a new one, and younger than `fresh_ns`; now and then it is asked
        all the same, for its lag is not known better than to a millisecond otherwise. It rests
        as long as its thread has used no CPU at all since it was seen waiting for events.
        """
        cpu_ns = self.cpu_ns()
        if cpu_ns is None or self.machinery is None or not self.check():
            return None
        if cpu_ns == self._rested_cpu_ns:
            return self._alive(now_ns, cpu_ns, 0)
        (looked_ns, cpu_before_ns), self._looked = self._looked, (now_ns, cpu_ns)
        uv_time = self._uv_time  # the run may end meanwhile
        if uv_time is not None and self._unasked < MOST_UNASKED:
            turn_ms, self._uv_ms = self._uv_ms, uv_time.ms()
            lag_ns = now_ns - self._uv_ms * MS_NS
            if turn_ms != self._uv_ms and lag_ns < fresh_ns:
                self._unasked += 1
                return self._alive(now_ns - max(0, lag_ns), cpu_ns, max(1, lag_ns))
        hardly_ran = cpu_ns - cpu_before_ns < (now_ns - looked_ns) * HARDLY_RAN
        # The thread may wait for the GIL by now, but has done nothing yet.
        if hardly_ran and self._stands_idle() and waits_for_events() and self.cpu_ns() == cpu_ns:
            self._rested_cpu_ns = cpu_ns
            return self._alive(now_ns, cpu_ns, 0)
        return None

    def turned_ns(self) -> int | None:
        """When the turn began in which the loop is, where that can be read."""
        if self._memory is None or self.slot is None:
            return None
        return turn_began_ns(self._memory[0], self.slot)

    def runs_callbacks_at(self, depth: int) -> bool:
        """Whether the frame at that depth is asyncio's own that calls a callback, and nothing else."""
        return self.slot is not None and self.slot.kind == ON_ASYNCIO and depth == self.base

    def _stands_idle(self) -> bool:
        """Whether the stack ends where the loop waits for events. A callback in C shows no frame of its own."""
        frame = current_frames().get(self.ident)
        if frame is None or self.slot is None:
            return False
        if self.slot.kind == ON_UVLOOP:
            return frame.f_code is self.machinery
        return self.slot.kind == ON_ASYNCIO and frame.f_code.co_filename == selectors.__file__

    def _alive(self, at_ns: int, cpu_ns: int, lag_ns: int) -> SeenAlive:
        self.answered_ns = at_ns
        if self.slot is not None:
            self.slot.beat_ns = at_ns
        return SeenAlive(at_ns, cpu_ns, time.process_time_ns(), lag_ns)

    @staticmethod
    def name_of(loop_class: type) -> str:
        return f"{loop_class.__module__.partition('.')[0]}.{loop_class.__name__}"

    def ask(self, due_ns: int) -> None:
        """Have the loop call `beat` at its next turn. Called by the watchdog."""
        self.due_ns = due_ns
        self._unasked = 0
        if not self.check():
            return
        try:
            self.loop.call_soon_threadsafe(self.beat)
        except RuntimeError:  # closed, or let go (NotImplementedError), between two looks
            self.stop()

    def look(self) -> None:
        """At each tick: a loop that is asked tells by itself."""

    def check(self) -> bool:
        """Whether the loop runs. A run that began before the detector tells nobody of its end."""
        if not self.loop.is_running():
            self.stop()
        return not self.ended_ns

    def beat(self) -> None:
        if self.ended_ns:
            return  # it was asked in a run before this one; its slot is another's
        beat = self._now()
        frame = sys._getframe(1)
        if self.machinery is not frame.f_code or self.base != depth_of(frame):
            self.machinery, self.base = frame.f_code, depth_of(frame)
            self._find_turn(frame)
        self.answers.append(beat)
        self._note(beat.at_ns)
        slot = self.slot
        if slot is not None:
            slot.base, slot.beat_ns = self.base, beat.at_ns
        if beat.at_ns - self.due_ns > self.threshold_ns // 2 and self.exchanges is not None:
            self._settle(SETTLING_TURNS, beat.at_ns, self.present())

    def _find_turn(self, caller: FrameType) -> None:
        if self.slot is not None and self._memory is not None and self.slot.kind == ON_ASYNCIO:
            memory, layout = self._memory
            place = place_in_frame(caller, layout, memory)
            self.slot.keeps_time_at(place)
            self.tells_turns = place != 0

    def stop(self) -> None:
        """The run ended, or the watch of it: the first call counts, from whichever thread."""
        if self.ended_ns:
            return
        self.ended_ns = ended_ns = time.monotonic_ns()
        if not self.looked_at and self.is_short():  # asked in this order: `_admit` does it in the other
            return
        cpu_ns = time.thread_time_ns() if threading.get_ident() == self.ident else self.cpu_ns()
        self.answers.append(LoopStopped(ended_ns, cpu_ns, time.process_time_ns()))
        self._note(ended_ns)

    def is_short(self) -> bool:
        """Whether its run is over and was too short for a stall."""
        return 0 < self.ended_ns < self.began_ns + self.threshold_ns

    def let_go(self) -> None:
        """After its end: kept until the watchdog has looked, loops of a suite of tests would live to be old garbage."""
        if self.exchanges is None and not self.late_ns:  # else requests and tasks of its last stall are to be found
            self.loop, self._uv_time = OVER, None

    def is_late(self) -> bool:
        """Whether it runs and has been silent for the length of a stall."""
        return time.monotonic_ns() - self.answered_ns >= self.threshold_ns and self.check()

    def _note(self, answered_ns: int) -> None:
        if answered_ns - self.answered_ns >= self.threshold_ns:
            # Not the time of the answer: a tick that begins after this has the answer at hand.
            self.late_ns = time.monotonic_ns()
        self.answered_ns = answered_ns

    def begin_anew(self) -> None:
        """On its thread: what it has done until now does not count."""
        beat = self._now()
        self.began_ns, self._began_cpu_ns, self._began_process_ns = beat.at_ns, beat.cpu_ns, beat.process_cpu_ns

    def hush(self) -> None:
        """Nobody waits for the loop yet: its silences are nobody's business until `heed()`."""
        self.quiet_until_ns = NEVER_NS
        if self.slot is not None:
            self.slot.quiet = True

    def heed(self) -> None:
        if self.quiet_until_ns == NEVER_NS:
            self.quiet_until_ns = time.monotonic_ns()
            if self.slot is not None:
                self.slot.quiet = False

    def permit(self, begins: bool) -> None:
        """Blocking is meant from now on, or no longer: the observer, which cannot ask, announces nothing."""
        if self.slot is not None and self.quiet_until_ns != NEVER_NS:
            self.slot.quiet = begins

    def cpu_ns(self) -> int | None:
        """CPU time of the loop's thread, read from any thread; None once the thread is gone."""
        try:
            return time.clock_gettime_ns(self.clock_id) if self.clock_id is not None else None
        except OSError:
            return None

    def _settle(self, turns: int, late_beat_ns: int, present: tuple[Exchange, ...]) -> None:
        if self.ended_ns:
            return
        if turns:
            self.loop.call_soon(self._settle, turns - 1, late_beat_ns, present)
            return
        # Who was there at the beat may have been answered and gone by now.
        everybody = tuple(dict.fromkeys(present + self.present()))
        self.crowds = (*self.crowds[1 - MOST_CROWDS :], Crowd(late_beat_ns, time.monotonic_ns(), everybody))

    def present(self) -> tuple[Exchange, ...]:
        """Who is there now, for any thread."""
        exchanges = self.exchanges
        if exchanges is None:
            return ()
        try:
            return tuple(dict.fromkeys(exchanges()))
        except RuntimeError:  # somebody came or went meanwhile, on the loop's thread
            return ()
        except Exception:
            self.exchanges = None  # the server has gone; nobody is counted any more
            return ()

    def _now(self) -> LoopBeat:
        return LoopBeat(time.monotonic_ns(), time.thread_time_ns(), time.process_time_ns())

    def __repr__(self) -> str:
        return f"<WatchedLoop {self.loop_name} in {self.thread_name}>"


def depth_of(frame: FrameType | None) -> int:
    """How many Python frames lead to this one, itself included."""
    depth = 0
    while frame is not None:
        depth += 1
        frame = frame.f_back
    return depth

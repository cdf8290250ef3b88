"""Interrupting what blocks a loop for longer than the stall limit.

In the main thread a signal does it, whose handler raises: Python takes it up in most calls that wait, in
some that compute, and between any two instructions. While the GIL is held the observer sends it. In other
threads an asynchronous exception (PyThreadState_SetAsyncExc) does it, which Python takes up between
instructions only: so it is set only where Python code was seen to run, never while the thread waits in a
system call, whose end might be the end of the unit of work, and the next one an innocent's.

Both look again, at the last moment and with the GIL held, whether the same unit of work still runs.
"""

from __future__ import annotations

import asyncio
import ctypes
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

from loophound.coroutines import coroutine_of
from loophound.detector.adapters.heartbeat import WatchedLoop
from loophound.detector.adapters.link import ObserverLink
from loophound.detector.adapters.sampler import stack_of
from loophound.detector.adapters.signals import SIGNAL
from loophound.detector.blame import Origin, is_of_the_loop
from loophound.detector.episode import Episode
from loophound.detector.facts import Sampled, Source
from loophound.detector.frames import STAND_IN, CodeFrame
from loophound.detector.limit import held_by
from loophound.detector.records import FAILED
from loophound.detector.segments import unit_of
from loophound.detector.syscalls import Wait, wait_of
from loophound.errors import StallLimitExceeded

# The first look may have found the code in the loop's or the server's own, where nothing is raised.
RETRY_NS = 50_000_000
BY_SIGNAL, BY_EXCEPTION = "signal", "exception"


@dataclass(slots=True)
class Aim:
    """Who is to be interrupted: the unit of work that was seen, in the silence since one beat."""

    loop: WatchedLoop
    episode: Episode | None  # None where the observer saw it: the watchdog, which knows, could not run
    answered_ns: int
    sample: Sampled
    key: Hashable
    pending: bool = False  # an asynchronous exception is set, and was not raised yet


class Interrupter:
    """Used by the watchdog. `spares` tells whether a block is meant, and so is left alone."""

    def __init__(
        self,
        limit_ns: int,
        origin: Origin,
        link: ObserverLink | None,
        spares: Callable[[WatchedLoop, Sampled], bool],
    ) -> None:
        self._limit_ns = limit_ns
        self._origin = origin
        self._link = link
        self._spares = spares
        self._aims: dict[int, Aim] = {}  # by the loop's thread
        self._loops: dict[int, WatchedLoop] = {}
        self._unfiled: deque[tuple[WatchedLoop, int, Hashable]] = deque(maxlen=64)
        self._interrupted_ns: dict[int, int] = {}  # when it was last raised there
        self._tried_ns: dict[int, int] = {}
        self._before: Any = None
        self._installed = False
        self._set_exception = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p)(
            ("PyThreadState_SetAsyncExc", ctypes.pythonapi)
        )
        self._kept: list[type[BaseException]] = []

    def install(self) -> None:
        """Take the signal, which only the main thread can; loops in it are not interrupted otherwise."""
        if SIGNAL is None or threading.current_thread() is not threading.main_thread():
            return
        self._before = signal.getsignal(SIGNAL)
        signal.signal(SIGNAL, self._on_signal)
        self._installed = True

    def remove(self) -> None:
        """Put the former handler back; from another thread than the main one, ours stays and passes signals on."""
        self._aims.clear()
        if not self._installed or SIGNAL is None or signal.getsignal(SIGNAL) != self._on_signal:
            return
        if threading.current_thread() is threading.main_thread():
            signal.signal(SIGNAL, self._before if self._before is not None else signal.SIG_DFL)
            self._installed = False

    def watch(self, loop: WatchedLoop) -> None:
        """On the loop's thread, as its run begins."""
        self._loops[loop.ident] = loop

    def file(self, loop: WatchedLoop, episode_at: Callable[[int], Episode | None]) -> None:
        """Note in the silences what was interrupted while the watchdog could not run."""
        for one in [one for one in self._unfiled if one[0] is loop]:
            episode = episode_at(one[1])
            if episode is not None:
                episode.interruptions[one[2]] = BY_SIGNAL
            self._unfiled.remove(one)

    def consider(self, loop: WatchedLoop, episode: Episode, now_ns: int) -> None:
        """Interrupt what runs in the loop, where it has blocked for too long. On the watchdog's thread."""
        aim = self._aims.get(loop.ident)
        if aim is not None and loop.answered_ns != aim.answered_ns:
            self._drop(aim)
        if now_ns - self._tried_ns.get(loop.ident, 0) < RETRY_NS or loop.quiet_until_ns > now_ns:
            return
        held = held_by(episode, now_ns, self._limit_ns)
        if held is None or held[1] < self._limit_ns:
            return
        if now_ns - self._interrupted_ns.get(loop.ident, 0) < self._limit_ns:
            return  # it was interrupted, and goes on all the same: it gets the limit again
        sample = held[0]
        if self._spares(loop, sample):
            return
        self._tried_ns[loop.ident] = now_ns
        aim = Aim(loop, episode, loop.answered_ns, sample, unit_of(sample))
        if not self._is_same(aim, [code for code, _ in stack_of(loop.ident)]):
            return
        self._aims[loop.ident] = aim
        episode.interruptions.setdefault(aim.key, FAILED)
        if loop.slot is not None:
            loop.slot.tried_ns = aim.answered_ns
        if loop.ident == threading.main_thread().ident:
            if self._installed and SIGNAL is not None:
                signal.pthread_kill(loop.ident, SIGNAL)
        elif sample.waiting is None or wait_of(sample.waiting) is Wait.GIL:
            self._set(aim)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """In the main thread, on top of whatever runs there."""
        aim = self._aims.pop(threading.get_ident(), None) or self._aim_of_observer(frame)
        if aim is None:
            if callable(self._before):
                self._before(number, frame)
            return
        codes: list[CodeType] = []
        while frame is not None:
            codes.append(frame.f_code)
            frame = frame.f_back
        if self._is_same(aim, codes[::-1]):
            self._note(aim, BY_SIGNAL)
            raise StallLimitExceeded(self._limit_ns / 1e9)

    def _aim_of_observer(self, frame: FrameType | None) -> Aim | None:
        """What the observer has seen to block, as the shared page has it, where that runs still."""
        loop = self._loops.get(threading.get_ident())
        if loop is None or loop.slot is None:
            return None
        beat_ns, unit, turn = loop.slot.aim
        if not beat_ns or beat_ns != loop.answered_ns:
            return None
        loop.slot.aim = (0, 0, 0)
        frames = []
        while frame is not None:
            frames.append(CodeFrame(frame.f_code.co_filename, frame.f_lineno or 0, frame.f_code.co_qualname))
            frame = frame.f_back
        sample = Sampled(
            at_ns=time.monotonic_ns(),
            source=Source.OBSERVER,
            frames=tuple(reversed(frames)),
            base=loop.base,
            idle=len(frames) <= loop.base,
            unit=unit,
            turn=turn,
        )
        if sample.idle or self._spares(loop, sample):
            return None
        return Aim(loop, None, beat_ns, sample, unit_of(sample))

    def _set(self, aim: Aim) -> None:
        """Have it raised in another thread. The class is made for this once, so that its instance tells us."""

        def made(error: BaseException, *_: object) -> None:
            aim.pending = False
            self._note(aim, BY_EXCEPTION)
            StallLimitExceeded.__init__(error, self._limit_ns / 1e9)  # type: ignore[arg-type]

        raised = type("StallLimitExceeded", (StallLimitExceeded,), {"__init__": made})
        self._kept = [*self._kept[-8:], raised]
        # To let go of the GIL and get it again gives us a whole turn of it, 5 ms, for what follows.
        time.sleep(0)
        if not self._is_same(aim, [code for code, _ in stack_of(aim.loop.ident)]):
            return
        aim.pending = True
        self._set_exception(aim.loop.ident, id(raised))

    def _drop(self, aim: Aim) -> None:
        self._aims.pop(aim.loop.ident, None)
        if aim.pending:
            aim.pending = False
            self._set_exception(aim.loop.ident, None)

    def _note(self, aim: Aim, how: str) -> None:
        now_ns = self._interrupted_ns[aim.loop.ident] = time.monotonic_ns()
        if aim.loop.slot is not None:
            aim.loop.slot.tried_ns = 0
        if aim.episode is not None:
            aim.episode.interruptions[aim.key] = how
        else:
            self._unfiled.append((aim.loop, now_ns, aim.key))

    def _is_same(self, aim: Aim, codes: list[CodeType]) -> bool:
        """Whether the unit of work that was seen runs still, in code where an exception may be raised."""
        loop, sample = aim.loop, aim.sample
        if loop.answered_ns != aim.answered_ns or len(codes) <= sample.base:
            return False
        root, seen = codes[sample.base], sample.frames[min(sample.base, len(sample.frames) - 1)]
        if (root.co_filename, root.co_qualname) != (seen.file, seen.function):
            return False
        task = asyncio.tasks._current_tasks.get(loop.loop)  # type: ignore[attr-defined]
        coroutine = coroutine_of(task) if task is not None else None
        if (id(coroutine) if coroutine is not None else 0) != sample.unit:
            return False
        if not sample.unit and self._link is not None and self._link.turn_of(loop.slot) != sample.turn:
            return False
        # What lies around a call while calls are flagged is the program's own call.
        innermost = next(code.co_filename for code in reversed(codes) if not code.co_filename.endswith(STAND_IN))
        return not self._origin.is_own(innermost) and not is_of_the_loop(innermost)

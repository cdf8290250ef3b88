"""Samples of a loop's thread, taken from inside the process."""

from __future__ import annotations

import asyncio
import opcode
import sys
import threading
import time
from contextlib import suppress
from itertools import accumulate, chain, islice, repeat
from operator import attrgetter, methodcaller
from types import CodeType

from loophound.coroutines import coroutine_of
from loophound.detector.adapters.current_frames import current_frames, uncollected
from loophound.detector.adapters.heartbeat import WatchedLoop
from loophound.detector.adapters.kernel import ThreadProbe
from loophound.detector.adapters.link import ObserverLink
from loophound.detector.adapters.work import work_of
from loophound.detector.blame import is_at_rest
from loophound.detector.facts import Sampled, Source, ThreadSampled, Waiting
from loophound.detector.frames import CodeFrame
from loophound.detector.syscalls import Wait, wait_of

MOST_FRAMES = 256  # kept of a deeper stack: the outermost few and the innermost rest
MOST_REMEMBERED_FRAMES = 4096
MOST_OTHER_THREADS = 16
OTHER_FRAMES = 24

Place = tuple[CodeType, int]
_PLACE = attrgetter("f_code", "f_lasti")


class Sampler:
    """Turns frames into facts. Source files are never read here."""

    def __init__(self) -> None:
        # By code object and instruction; the code object is kept, so that its id stays its own.
        self._known: dict[tuple[int, int], tuple[CodeType, CodeFrame, bool]] = {}
        self._probes: dict[int, ThreadProbe] = {}

    def sample(
        self, watched: WatchedLoop, probe: ThreadProbe, link: ObserverLink | None, *, others: bool
    ) -> Sampled | None:
        """Where the loop's thread stands now; None when the thread is gone."""
        at_ns = time.monotonic_ns()
        stack = stack_of(watched.ident)
        task = asyncio.tasks._current_tasks.get(watched.loop)  # type: ignore[attr-defined]
        if not stack:
            return None
        coroutine = coroutine_of(task) if task is not None else None
        known = [self._frame(code, instruction) for code, instruction in stack]
        cut = max(0, len(known) - MOST_FRAMES)
        frames = [k[1] for k in known]
        if cut:
            frames = frames[: watched.base] + frames[watched.base + cut :]
        _, runqueue_ns = probe.cpu_and_runqueue_ns()
        turn = link.turn_of(watched.slot) if link is not None else 0
        waiting, runnable = probe.look(link.memory if link is not None else None)
        if waiting is not None and not _is_still_in(watched.ident, stack[-1][0]):
            waiting = runnable = None
        return Sampled(
            at_ns=at_ns,
            source=Source.WATCHDOG,
            frames=tuple(frames),
            base=watched.base,
            idle=_is_idle(stack, watched) and not sleeps_in_c(waiting),
            unit=id(coroutine) if coroutine is not None else 0,
            turn=turn,
            cpu_ns=watched.cpu_ns(),
            runqueue_ns=runqueue_ns,
            waiting=waiting,
            runnable=runnable,
            switches=probe.switches(),
            in_call=known[-1][2],
            others=self._others(watched) if others else (),
            work=work_of(task) if task is not None else None,
            turned_ns=watched.turned_ns(),
        )

    def close(self) -> None:
        for probe in self._probes.values():
            probe.close()
        self._probes.clear()
        self._known.clear()

    def _frame(self, code: CodeType, instruction: int) -> tuple[CodeType, CodeFrame, bool]:
        key = (id(code), instruction)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= MOST_REMEMBERED_FRAMES:
                self._known.clear()
            known = self._known[key] = (code, _locate(code, instruction), _can_call(code, instruction))
        return known

    def _others(self, watched: WatchedLoop) -> tuple[ThreadSampled, ...]:
        seen = []
        for thread in list(threading.enumerate())[:MOST_OTHER_THREADS]:
            if thread.native_id is None or thread.ident in (watched.ident, threading.get_ident(), None):
                continue
            probe = self._probes.get(thread.native_id)
            if probe is None:
                if len(self._probes) >= MOST_OTHER_THREADS:
                    self.close()
                probe = self._probes[thread.native_id] = ThreadProbe(thread.native_id)
            cpu_ns, runqueue_ns = probe.cpu_and_runqueue_ns()
            frames = [self._frame(*place)[1] for place in stack_of(thread.ident)[-OTHER_FRAMES:]]
            if cpu_ns is not None and frames:
                seen.append(ThreadSampled(thread.native_id, thread.name, cpu_ns, tuple(frames), runqueue_ns))
        return tuple(seen)


def stack_of(ident: int) -> list[Place]:
    """Code and current instruction of each frame of a thread, outermost first; empty when it has ended.

    One call of C code does it all. A loop in Python hands the GIL over when its turn is up, in
    the middle of the stack, and goes on among frames that have returned since. For the same reason
    nothing is collected meanwhile: on Python 3.11 making a frame object can start a collection,
    whose callbacks and finalizers hand the GIL over too, and CPython then writes to a frame that
    has gone (seen as a segmentation fault on 3.11.2 and 3.11.7). Python 3.12 collects between
    instructions alone.
    """
    now = iter(sys._current_frames, None)
    innermost = islice(map(methodcaller("get", ident), now), 1)
    stack: list[Place] = []
    # It ends at the outermost frame, of which the frame before is None and has no code.
    with uncollected(), suppress(AttributeError):
        stack.extend(map(_PLACE, accumulate(chain(innermost, repeat("f_back")), getattr)))
    stack.reverse()
    return stack


def _is_still_in(ident: int, code: CodeType) -> bool:
    """Whether a thread runs the same function as before the kernel was asked about it, which lets go of the GIL.

    A computation that ended meanwhile would seem to wait for events, where its loop then rests.
    """
    frame = current_frames().get(ident)
    return frame is not None and frame.f_code is code


def _is_idle(stack: list[Place], watched: WatchedLoop) -> bool:
    """An idle loop's innermost Python frame is its own machinery, which is no culprit.

    On uvloop that is the caller of run_forever; on asyncio it is the selector, where the
    frame that runs callbacks would otherwise stand. A signal's handler may run on top of it.
    """
    if len(stack) <= watched.base:
        # A callback in C, such as time.sleep itself, has no frame of its own.
        return not (watched.runs_callbacks_at(len(stack)) and stack[-1][0] is watched.machinery)
    if watched.machinery is None or stack[watched.base - 1][0] is watched.machinery:
        return False
    return watched.may_be_a_guest or is_at_rest(code.co_filename for code, _ in stack[watched.base :])


def sleeps_in_c(waiting: Waiting | None) -> bool:
    """Whether a thread is in a call in which no loop waits for events: a callback in C shows no frame."""
    return waiting is not None and wait_of(waiting) is Wait.SLEEP


def _locate(code: CodeType, instruction: int) -> CodeFrame:
    position = next(islice(code.co_positions(), max(0, instruction) // 2, None), None)
    line = column = end_column = None
    if position is not None and position[0] is not None:
        line = position[0]
        column = position[2]
        end_column = position[3] if position[1] == position[0] else None
    return CodeFrame(
        file=code.co_filename,
        line=line or 0,
        function=code.co_qualname,
        instruction=instruction,
        column=-1 if column is None else column,
        end_column=-1 if end_column is None else end_column,
    )


def _can_call(code: CodeType, instruction: int) -> bool:
    """False for jumps and entries, where CPython stops a thread between its own steps."""
    operations = code.co_code
    if not 0 <= instruction < len(operations):
        return False
    name = opcode.opname[operations[instruction]]
    return "JUMP" not in name and not name.startswith(("RESUME", "NOP", "LOAD_", "STORE_FAST", "POP_", "CACHE"))

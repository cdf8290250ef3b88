"""The tasks of a loop as the feed shows them: read on the detector's thread, a slice at a time."""

from __future__ import annotations

import asyncio
import os
import time
import weakref
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from loophound.coroutines import coroutine_of
from loophound.detector.report import short

MOST_SHOWN = 200
MOST_AWAITS = 32  # of a chain, from a task's coroutine to what it waits for
# A thread that computes keeps the GIL for 5 ms, which the loop would wait: a pause after each
# slice of some 0.1 ms lets it in.
SLICE = 250


class Tasks:
    """`is_app` tells the application's files from all others."""

    def __init__(self, is_app: Callable[[str], bool]) -> None:
        self._is_app = is_app
        self._seen_s: weakref.WeakKeyDictionary[asyncio.Task[Any], float] = weakref.WeakKeyDictionary()

    def take(self, loop: asyncio.AbstractEventLoop) -> dict[str, Any]:
        """How many there are, and some of them: those that are known longest."""
        total = 0
        chosen: list[asyncio.Task[Any]] = []
        seen = self._seen_s
        for task in live(loop):
            total += 1
            if task in seen or len(chosen) < MOST_SHOWN:
                chosen.append(task)
        # Who was shown before comes first, so that a page does not flicker.
        chosen = sorted(chosen, key=lambda task: seen.get(task, float("inf")))[:MOST_SHOWN]
        current = asyncio.tasks._current_tasks.get(loop)  # type: ignore[attr-defined]
        now_s = time.monotonic()
        shown = [self._describe(task, task is current, now_s) for task in chosen]
        for task in set(seen) - set(chosen):
            del seen[task]
        return {"total": total, "shown": shown}

    def _describe(self, task: asyncio.Task[Any], is_current: bool, now_s: float) -> dict[str, Any]:
        coroutine = coroutine_of(task)
        waits = getattr(task, "_fut_waiter", None) is not None
        return {
            "name": task.get_name(),
            "coro": short(getattr(coroutine, "__qualname__", None) or type(coroutine).__name__),
            "state": "running" if is_current else "waiting" if waits else "ready",
            "age_s": round(now_s - self._seen_s.setdefault(task, now_s), 3),
            "where": self._place(coroutine),
        }

    def _place(self, coroutine: object) -> str | None:
        """The application's innermost line on the way to what it waits for; with none, the innermost of all."""
        place = None
        of_app = False
        for frame in frames_of(coroutine):
            is_app = self._is_app(frame.f_code.co_filename)
            if is_app or not of_app:
                code = frame.f_code
                place = f"{os.path.basename(code.co_filename)}:{frame.f_lineno} in {short(code.co_qualname)}"
            of_app = of_app or is_app
        return place


def frames_of(coroutine: Any) -> Iterator[FrameType]:
    """From a coroutine to the one that it awaits, and so on."""
    for _ in range(MOST_AWAITS):
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        if frame is None:
            return
        yield frame
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)


def live(loop: asyncio.AbstractEventLoop) -> Iterator[asyncio.Task[Any]]:
    """The tasks of a loop that are not done, with pauses for others in between."""
    for number, task in enumerate(known()):
        if number % SLICE == SLICE - 1:
            time.sleep(0)
        if task is not None and not task.done() and task.get_loop() is loop:
            yield task


def known() -> Iterator[asyncio.Task[Any] | None]:
    """All tasks of the process. asyncio.all_tasks() would look at all of them in one go."""
    tasks: Any = asyncio.tasks
    # Python 3.11; then 3.12 and 3.13. list() of a set is one step for other threads.
    weak = getattr(tasks, "_all_tasks", None)
    if weak is None:
        weak = getattr(tasks, "_scheduled_tasks", None)
    for reference in list(weak.data) if weak is not None else ():
        yield reference()
    yield from list(getattr(tasks, "_eager_tasks", ()))

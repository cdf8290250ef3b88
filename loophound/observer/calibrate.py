"""Finds where this interpreter keeps what the observer reads.

Runs in the watched process and reads its own memory through /proc/self/mem, so a wrong guess
is an error of a read and never a fault. Nothing is taken from a table of versions: each
offset is where a known value stands in an object made for that purpose. At the end the stack
of a parked thread is walked with the layout found, and must come out right.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import struct
import sys
import sysconfig
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from loophound.observer.layout import WORD, Layout
from loophound.observer.layout_of_dicts import scope_fields
from loophound.observer.layout_of_objects import code_fields, text_fields
from loophound.observer.layout_of_threads import frame_fields, state_fields, turn_place
from loophound.observer.memory import BadAddress, Pages, ProcessMemory, Readable
from loophound.observer.parked import HelperThreadError, Parked, parked
from loophound.observer.places import CalibrationError
from loophound.observer.walk import Walker

__all__ = ["MEMORY_PATH", "CalibrationError", "calibrate", "this_thread_state"]

MEMORY_PATH = "/proc/self/mem"

# A thread that starts or ends meanwhile changes the list of threads, and a profiler may still
# be at work in the helper thread.
_ATTEMPTS = 10
_ATTEMPT_PAUSE_S = 0.001
_one_at_a_time = threading.Lock()  # a helper thread that comes and goes disturbs the others


def calibrate(memory: Readable | None = None) -> Layout:
    """The layout of this process. Takes a few milliseconds and may be called from any thread.

    Raises CalibrationError where stacks cannot be read from outside.
    """
    _require_supported()
    if memory is not None:
        return _calibrated(memory)
    try:
        fd = os.open(MEMORY_PATH, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise CalibrationError(f"{MEMORY_PATH} cannot be opened: {error.strerror}") from None
    try:
        return _calibrated(ProcessMemory(fd))
    finally:
        os.close(fd)


def this_thread_state() -> int:
    """The address of the calling thread's PyThreadState, which lives as long as the thread does."""
    return int(_thread_state_getter()())


@functools.cache
def _thread_state_getter() -> Callable[[], int]:
    """Made once: ctypes makes a class for it, which takes longer than the rest of what starts the watch of a loop."""
    # A prototype of its own, because a restype set on ctypes.pythonapi holds for the whole process.
    return ctypes.PYFUNCTYPE(ctypes.c_void_p)(("PyThreadState_Get", ctypes.pythonapi))


def _require_supported() -> None:
    if sys.implementation.name != "cpython":
        raise CalibrationError(f"stacks are read from outside on CPython, this is {platform.python_implementation()}")
    if struct.calcsize("P") != WORD.size:
        raise CalibrationError("stacks are read from outside in 64-bit processes only")
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise CalibrationError("the free-threaded build of CPython lays its objects out in another way")


def _calibrated(memory: Readable) -> Layout:
    try:
        with _one_at_a_time, parked(this_thread_state) as thread:
            code = code_fields(memory)
            text = text_fields(memory) | scope_fields(memory)
            return _repeat(lambda: _layout_of(memory, thread, code, text))
    except BadAddress as error:
        raise CalibrationError(f"this process cannot read its own memory: {error}") from None
    except HelperThreadError as error:
        raise CalibrationError(f"no helper thread: {error}") from None


def _repeat(look: Callable[[], Layout]) -> Layout:
    for _ in range(_ATTEMPTS - 1):
        with suppress(CalibrationError):
            return look()
        time.sleep(_ATTEMPT_PAUSE_S)
    return look()


def _layout_of(memory: Readable, thread: Parked, code: dict[str, int], text: dict[str, int]) -> Layout:
    pages = Pages(memory)
    frames = frame_fields(pages, thread, code["code_start"], memory)
    states = state_fields(pages, thread, this_thread_state(), threading.get_native_id())
    layout = Layout(**code, **text, **frames, **states, state_turn=turn_place(memory, this_thread_state()))
    _verify(memory, layout, thread)
    return layout


def _no_pause() -> None:
    """The helper thread stands still for as long as it is looked at."""


def _verify(memory: Readable, layout: Layout, thread: Parked) -> None:
    """The parked thread's stack must come out right, and its coroutine as the owner of its frame."""
    walker = Walker(memory, layout, pause=_no_pause)
    walk = walker.walk(thread.state, thread.native_id)
    if walk is None:
        raise CalibrationError("the stack of a thread that stands still could not be read")
    found = [(frame.file, frame.function) for frame in reversed(walk.frames)][: len(thread.codes)]
    owners = [*reversed(walk.owners)][: len(thread.codes)]
    if found != [(code.co_filename, code.co_qualname) for code in thread.codes]:
        raise CalibrationError("the stack of a thread that stands still came out wrong")
    if owners != [0, id(thread.coroutine), 0, 0]:
        raise CalibrationError("the coroutine that owns a frame came out wrong")
    known = {(thread.state, thread.native_id), (this_thread_state(), threading.get_native_id())}
    if not known <= {*walker.threads(thread.state)}:
        raise CalibrationError("the list of threads came out wrong")

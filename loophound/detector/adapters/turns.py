"""Finds where a loop keeps the time at which its turn began. See loophound/observer/turns.py.

Searched for in memory that is read through /proc/self/mem, so that a wrong guess is an error of a read.
"""

from __future__ import annotations

import asyncio
import ctypes
from asyncio.base_events import BaseEventLoop
from types import CodeType, FrameType

from loophound.observer.layout import Layout
from loophound.observer.memory import BadAddress, ProcessMemory

RUN_ONCE: CodeType = BaseEventLoop._run_once.__code__  # type: ignore[attr-defined]
VARIABLE = "end_time"
HEAD_WORDS = 2  # of an object: its reference count and its type
LOOP_WORDS = range(HEAD_WORDS, 8)  # where uvloop.Loop may keep the address of its uv_loop_t
UV_LOOP_WORDS = 160  # about twice what the structure of libuv 1.48 has
PLACE_OF_FRAME = 3  # words into a frame object (PyFrameObject.f_frame of 3.11 to 3.13)


class UvTime:
    """The time of a uvloop loop's turn, read in place. The loop must live."""

    def __init__(self, loop: asyncio.AbstractEventLoop, place: int) -> None:
        self._loop = loop  # which owns the memory
        self.place = place
        self._word = ctypes.c_uint64.from_address(place)

    def ms(self) -> int:
        """Milliseconds of CLOCK_MONOTONIC, cut."""
        return int(self._word.value)


_known: dict[type, tuple[int, int]] = {}  # by class of loop: words into the loop, and into its uv_loop_t


def uv_time(loop: asyncio.AbstractEventLoop, memory: ProcessMemory) -> UvTime | None:
    """Where libuv keeps the time of this loop; None when it was not found. On the loop's own thread."""
    try:
        known = _known.get(type(loop))
        if known is None:
            known = _known[type(loop)] = _search(loop, memory)
        pointer, word = known
        place = memory.word(id(loop) + 8 * pointer) + 8 * word
        # `loop.time()` has libuv look at the clock and gives what it has written down.
        now_ms = round(loop.time() * 1000)
        return UvTime(loop, place) if memory.word(place) == now_ms else None
    except (BadAddress, LookupError, OSError):
        return None


def _search(loop: asyncio.AbstractEventLoop, memory: ProcessMemory) -> tuple[int, int]:
    for pointer in LOOP_WORDS:
        address = memory.word(id(loop) + 8 * pointer)
        try:
            if memory.word(address) != id(loop):  # uv_loop_t.data, which uvloop sets to the loop
                continue
        except BadAddress:
            continue
        now_ms = round(loop.time() * 1000)
        found = [word for word in range(UV_LOOP_WORDS) if memory.word(address + 8 * word) == now_ms]
        if len(found) == 1:
            return pointer, found[0]
    raise LookupError("no uv_loop_t with one time in it")


def place_in_frame(caller: FrameType | None, layout: Layout, memory: ProcessMemory) -> int:
    """Where `_run_once` keeps the time, from the frame of a callback's caller; 0 when not known.

    The frame of `_run_once` lies at the same address in each turn, as long as the loop runs.
    """
    frame = caller
    while frame is not None and frame.f_code is not RUN_ONCE:
        frame = frame.f_back
    if frame is None or not (offset := offset_in_frame(layout)):
        return 0
    try:
        address = memory.word(id(frame) + 8 * PLACE_OF_FRAME)
        if memory.word(address + layout.frame_code) != id(RUN_ONCE):
            return 0
    except BadAddress:
        return 0
    return address + offset


def offset_in_frame(layout: Layout) -> int:
    """How many bytes into its frame `_run_once` keeps the time; 0 when not known."""
    if VARIABLE not in RUN_ONCE.co_varnames:
        return 0
    return layout.frame_locals + 8 * RUN_ONCE.co_varnames.index(VARIABLE)

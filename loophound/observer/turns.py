"""When a loop's present turn began, read from where the loop itself keeps it. Nothing is added to a turn.

uvloop: libuv keeps the time at which poll returned (`uv_now()`, in milliseconds). asyncio:
`BaseEventLoop._run_once` has it in a local variable, `end_time`, which does not exist while the selector
waits. Both are CLOCK_MONOTONIC. Nothing here is trusted: whoever uses it holds it against the last beat
and the time at which the loop was asked (`Episode.turned_ns`).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from loophound.detector.frames import CodeFrame
from loophound.observer.memory import BadAddress, Readable
from loophound.observer.page import ON_ASYNCIO, ON_UVLOOP, Slot

FLOAT = struct.Struct("=QQd")  # reference count, type, value: PyFloatObject of a build with the GIL
MS_NS = 1_000_000
RUN_ONCE = "BaseEventLoop._run_once"


def place_in(slot: Slot, frames: Sequence[CodeFrame], addresses: Sequence[int]) -> int:
    """Where the loop keeps it, by a stack: of a loop that has not answered yet that is not known otherwise."""
    if slot.kind == ON_ASYNCIO and not slot.turn_place and slot.turn_in_frame:
        for frame, address in zip(reversed(frames), reversed(addresses), strict=True):
            if frame.function == RUN_ONCE and frame.file.endswith("/asyncio/base_events.py"):
                return address + slot.turn_in_frame
    return slot.turn_place


def turn_began_ns(memory: Readable, slot: Slot, place: int | None = None) -> int | None:
    """When the turn began in which the loop is; None when it rests, or keeps it nowhere.

    `place` is where the loop keeps it, for whoever knows better than the loop has told.
    """
    place = slot.turn_place if place is None else place
    if not place:
        return None
    try:
        word = memory.word(place)
        if slot.kind == ON_UVLOOP:
            return word * MS_NS + MS_NS // 2
        if not word:
            return None
        _, kind, value = FLOAT.unpack(memory.read(word, FLOAT.size))
    except BadAddress:
        return None
    return int(value * 1e9) if kind == slot.float_type and 0 < value < 1e9 else None

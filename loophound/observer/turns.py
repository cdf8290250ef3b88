"""When a loop's present turn began, read from where the loop itself keeps it. Nothing is added to a turn.

uvloop: libuv keeps the time at which poll returned (`uv_now()`, in milliseconds). asyncio:
`BaseEventLoop._run_once` has it in a local variable, `end_time`, which does not exist while the selector
waits. Both are CLOCK_MONOTONIC. Nothing here is trusted: whoever uses it holds it against the last beat
and the time at which the loop was asked (`Episode.turned_ns`).
"""

from __future__ import annotations

import struct

from loophound.observer.memory import BadAddress, Readable
from loophound.observer.page import ON_UVLOOP, Slot

FLOAT = struct.Struct("=QQd")  # reference count, type, value: PyFloatObject of a build with the GIL
MS_NS = 1_000_000


def turn_began_ns(memory: Readable, slot: Slot) -> int | None:
    """When the turn began in which the loop is; None when it rests, or keeps it nowhere."""
    place = slot.turn_place
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

"""The page of memory that the watched process and its observer share.

Both sides read CLOCK_MONOTONIC, which is one clock for all processes, so the observer
knows by itself when a loop is overdue: also while nothing in the watched process can run.
Each word is eight bytes and aligned, and has one writer.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
import time
from functools import lru_cache

SLOTS = 32
HEADER_WORDS = 8
SLOT_WORDS = 32
SIZE_BYTES = 8 * (HEADER_WORDS + SLOTS * SLOT_WORDS)

_TICKED, _WANTED = range(2)  # the header
_GENERATION, _THREAD_STATE, _NATIVE_ID, _BASE, _KIND, _BEAT, _ANNOUNCED, _REPORTED, _QUIET, _LAG = range(10)
_AIM_BEAT, _AIM_UNIT, _AIM_TURN, _TURN_PLACE, _FLOAT_TYPE, _PACE = range(10, 16)
_TRIED, _TURN_IN_FRAME = 16, 17
_NAMES = 18  # the rest of a slot: the names of loop and thread
NAMES_BYTES = 8 * (SLOT_WORDS - _NAMES)
HEAD = struct.Struct("5q")  # from _THREAD_STATE to _BEAT
NOTHING = memoryview(bytes(8 * (SLOT_WORDS - 1))).cast("q")  # all words of a slot but the generation

ON_ASYNCIO, ON_UVLOOP, ON_OTHER, ON_TRIO = 0, 1, 2, 3


@lru_cache(256)
def _padded(text: str) -> bytes:
    return text.encode(errors="replace")[:NAMES_BYTES].ljust(NAMES_BYTES, b"\0")


class Slot:
    """The words of one loop. The watched process writes all but `announced_ns` and `aim`."""

    def __init__(self, words: memoryview, index: int) -> None:
        self.index = index
        first = HEADER_WORDS + index * SLOT_WORDS
        self._words = words[first : first + SLOT_WORDS]
        self._names = self._words[_NAMES:].cast("B")

    @property
    def generation(self) -> int:
        """Which loop uses the slot; 0 when none does."""
        return int(self._words[_GENERATION])

    @generation.setter
    def generation(self, value: int) -> None:
        self._words[_GENERATION] = value

    @property
    def thread_state(self) -> int:
        """Address of the thread's PyThreadState."""
        return int(self._words[_THREAD_STATE])

    @property
    def native_id(self) -> int:
        return int(self._words[_NATIVE_ID])

    @property
    def kind(self) -> int:
        return int(self._words[_KIND])

    @property
    def base(self) -> int:
        """How many frames of a stack are the loop's own machinery."""
        return int(self._words[_BASE])

    @base.setter
    def base(self, value: int) -> None:
        self._words[_BASE] = value

    @property
    def beat_ns(self) -> int:
        return int(self._words[_BEAT])

    @beat_ns.setter
    def beat_ns(self, value: int) -> None:
        self._words[_BEAT] = value

    @property
    def announced_ns(self) -> int:
        """The last beat before the stall that the observer has announced."""
        return int(self._words[_ANNOUNCED])

    @announced_ns.setter
    def announced_ns(self, value: int) -> None:
        self._words[_ANNOUNCED] = value

    @property
    def reported_ns(self) -> int:
        """The last beat before the stall that the watchdog has announced."""
        return int(self._words[_REPORTED])

    @reported_ns.setter
    def reported_ns(self, value: int) -> None:
        self._words[_REPORTED] = value

    @property
    def quiet(self) -> bool:
        """Nobody waits for this loop yet: take samples, but announce nothing."""
        return bool(self._words[_QUIET])

    @quiet.setter
    def quiet(self, value: bool) -> None:
        self._words[_QUIET] = int(value)

    @property
    def lag_ns(self) -> int:
        """How late the loop was with its last beat."""
        return int(self._words[_LAG])

    @lag_ns.setter
    def lag_ns(self, value: int) -> None:
        self._words[_LAG] = value

    @property
    def turn_place(self) -> int:
        """The address at which the loop keeps when its turn began (observer/turns.py); 0 when not known."""
        return int(self._words[_TURN_PLACE])

    @property
    def turn_in_frame(self) -> int:
        """Where in a frame of the function that makes turns that is, in bytes; 0 when not known."""
        return int(self._words[_TURN_IN_FRAME])

    @property
    def float_type(self) -> int:
        """The address of Python's float."""
        return int(self._words[_FLOAT_TYPE])

    @property
    def pace_ns(self) -> int:
        """In what time after a beat the next one is due."""
        return int(self._words[_PACE])

    @pace_ns.setter
    def pace_ns(self, value: int) -> None:
        self._words[_PACE] = value

    def keeps_time_at(self, place: int) -> None:
        """The loop's turns can be read at this address, or at 0 no longer."""
        self._words[_FLOAT_TYPE] = id(float)
        self._words[_TURN_PLACE] = place

    def keeps_time_in_frame(self, offset: int) -> None:
        """Until the place is known, whoever sees the frame can read it there."""
        self._words[_FLOAT_TYPE] = id(float)
        self._words[_TURN_IN_FRAME] = offset

    @property
    def aim(self) -> tuple[int, int, int]:
        """Whom the observer's signal was to interrupt: the beat since which it blocks, its unit and its turn."""
        return int(self._words[_AIM_BEAT]), int(self._words[_AIM_UNIT]), int(self._words[_AIM_TURN])

    @aim.setter
    def aim(self, value: tuple[int, int, int]) -> None:
        self._words[_AIM_BEAT] = 0
        self._words[_AIM_UNIT], self._words[_AIM_TURN] = value[1:]
        self._words[_AIM_BEAT] = value[0]

    @property
    def tried_ns(self) -> int:
        """The last beat before what the watchdog has tried to interrupt."""
        return int(self._words[_TRIED])

    @tried_ns.setter
    def tried_ns(self, value: int) -> None:
        self._words[_TRIED] = value

    @property
    def names(self) -> tuple[str, str]:
        """What loop and thread are called in records; empty until the loop has told."""
        loop, _, thread = bytes(self._names).rstrip(b"\0").decode(errors="ignore").partition("\n")
        return loop, thread

    @names.setter
    def names(self, value: tuple[str, str]) -> None:
        self._names[:] = _padded("\n".join(value))

    def occupy(self, generation: int, thread_state: int, native_id: int, kind: int) -> None:
        words = self._words
        words[_THREAD_STATE:] = NOTHING  # of the loop before
        HEAD.pack_into(words, 8 * _THREAD_STATE, thread_state, native_id, 0, kind, time.monotonic_ns())
        words[_GENERATION] = generation  # last: from here on the observer looks

    def release(self) -> None:
        self._words[_GENERATION] = 0

    def close(self) -> None:
        self._names.release()
        self._words.release()


class Page:
    """The whole page. `descriptor` is handed to the observer, which maps it again."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._map = mmap.mmap(descriptor, SIZE_BYTES)
        self._words = memoryview(self._map).cast("q")
        self.slots = [Slot(self._words, index) for index in range(SLOTS)]
        self._generations = self._words[HEADER_WORDS + _GENERATION :: SLOT_WORDS]
        self._generation = 0
        self._lock = threading.Lock()

    @classmethod
    def create(cls) -> Page:
        """Raises OSError where the platform has no memfd_create(2)."""
        if not hasattr(os, "memfd_create"):
            raise OSError("this platform has no memfd_create")
        descriptor = os.memfd_create("loophound", os.MFD_CLOEXEC)
        os.ftruncate(descriptor, SIZE_BYTES)
        return cls(descriptor)

    @property
    def ticked_ns(self) -> int:
        return int(self._words[_TICKED])

    @ticked_ns.setter
    def ticked_ns(self, value: int) -> None:
        self._words[_TICKED] = value

    @property
    def wanted(self) -> bool:
        """Whether somebody reads the feed, so that figures of requests and tasks are worth making.

        Written by the observer.
        """
        return bool(self._words[_WANTED])

    @wanted.setter
    def wanted(self, value: bool) -> None:
        self._words[_WANTED] = int(value)

    def occupy(self, thread_state: int, native_id: int, kind: int) -> Slot | None:
        """A free slot for a loop that starts; None when all are taken."""
        with self._lock:
            for slot in self.slots:
                if slot.generation == 0:
                    self._generation += 1
                    slot.occupy(self._generation, thread_state, native_id, kind)
                    return slot
        return None

    def live(self) -> list[Slot]:
        return [slot for slot, generation in zip(self.slots, self._generations.tolist(), strict=False) if generation]

    def close(self) -> None:
        """Let go of the memory; the descriptor stays the caller's to close."""
        for slot in self.slots:
            slot.close()
        self._generations.release()
        self._words.release()
        self._map.close()

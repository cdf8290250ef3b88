"""The page of memory that the watched process and its observer share.

Both sides read CLOCK_MONOTONIC, which is one clock for all processes, so the observer
knows by itself when a loop is overdue: also while nothing in the watched process can run.
Each word is eight bytes and aligned, and has one writer.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from itertools import count

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
# All of a slot but the generation. What is not told of a run when it begins is zero, as after `x` in a struct.
BEGINNING = struct.Struct(f"5q {8 * (_FLOAT_TYPE - _ANNOUNCED)}x q {8 * (_TURN_IN_FRAME - _PACE)}x q {NAMES_BYTES}s")

ON_ASYNCIO, ON_UVLOOP, ON_OTHER, ON_TRIO = 0, 1, 2, 3


class Slot:
    """The words of one loop. The watched process writes all but `announced_ns` and `aim`."""

    def __init__(self, words: memoryview, index: int, free: list[Slot]) -> None:
        self.index = index
        self._free = free
        # In the process that wrote them: of the run that occupied it last.
        self.began_ns = self.run = 0
        first = HEADER_WORDS + index * SLOT_WORDS
        self.words = words[first : first + SLOT_WORDS]
        self._names = self.words[_NAMES:].cast("B")

    @property
    def generation(self) -> int:
        """Which loop uses the slot; 0 when none does."""
        return int(self.words[_GENERATION])

    @generation.setter
    def generation(self, value: int) -> None:
        self.words[_GENERATION] = value

    @property
    def thread_state(self) -> int:
        """Address of the thread's PyThreadState."""
        return int(self.words[_THREAD_STATE])

    @property
    def native_id(self) -> int:
        return int(self.words[_NATIVE_ID])

    @property
    def kind(self) -> int:
        return int(self.words[_KIND])

    @property
    def base(self) -> int:
        """How many frames of a stack are the loop's own machinery."""
        return int(self.words[_BASE])

    @base.setter
    def base(self, value: int) -> None:
        self.words[_BASE] = value

    @property
    def beat_ns(self) -> int:
        return int(self.words[_BEAT])

    @beat_ns.setter
    def beat_ns(self, value: int) -> None:
        self.words[_BEAT] = value

    @property
    def announced_ns(self) -> int:
        """The last beat before the stall that the observer has announced."""
        return int(self.words[_ANNOUNCED])

    @announced_ns.setter
    def announced_ns(self, value: int) -> None:
        self.words[_ANNOUNCED] = value

    @property
    def reported_ns(self) -> int:
        """The last beat before the stall that the watchdog has announced."""
        return int(self.words[_REPORTED])

    @reported_ns.setter
    def reported_ns(self, value: int) -> None:
        self.words[_REPORTED] = value

    @property
    def quiet(self) -> bool:
        """Nobody waits for this loop yet: take samples, but announce nothing."""
        return bool(self.words[_QUIET])

    @quiet.setter
    def quiet(self, value: bool) -> None:
        self.words[_QUIET] = int(value)

    @property
    def lag_ns(self) -> int:
        """How late the loop was with its last beat."""
        return int(self.words[_LAG])

    @lag_ns.setter
    def lag_ns(self, value: int) -> None:
        self.words[_LAG] = value

    @property
    def turn_place(self) -> int:
        """The address at which the loop keeps when its turn began (observer/turns.py); 0 when not known."""
        return int(self.words[_TURN_PLACE])

    @property
    def turn_in_frame(self) -> int:
        """Where in a frame of the function that makes turns that is, in bytes, until the place is known; 0 when that
        is not known either.
        """
        return int(self.words[_TURN_IN_FRAME])

    @property
    def float_type(self) -> int:
        """The address of Python's float."""
        return int(self.words[_FLOAT_TYPE])

    @property
    def pace_ns(self) -> int:
        """In what time after a beat the next one is due."""
        return int(self.words[_PACE])

    @pace_ns.setter
    def pace_ns(self, value: int) -> None:
        self.words[_PACE] = value

    def keeps_time_at(self, place: int) -> None:
        """The loop's turns can be read at this address, or at 0 no longer."""
        self.words[_FLOAT_TYPE] = id(float)
        self.words[_TURN_PLACE] = place

    @property
    def aim(self) -> tuple[int, int, int]:
        """Whom the observer's signal was to interrupt: the beat since which it blocks, its unit and its turn."""
        return int(self.words[_AIM_BEAT]), int(self.words[_AIM_UNIT]), int(self.words[_AIM_TURN])

    @aim.setter
    def aim(self, value: tuple[int, int, int]) -> None:
        self.words[_AIM_BEAT] = 0
        self.words[_AIM_UNIT], self.words[_AIM_TURN] = value[1:]
        self.words[_AIM_BEAT] = value[0]

    @property
    def tried_ns(self) -> int:
        """The last beat before what the watchdog has tried to interrupt."""
        return int(self.words[_TRIED])

    @tried_ns.setter
    def tried_ns(self, value: int) -> None:
        self.words[_TRIED] = value

    @property
    def names(self) -> tuple[str, str]:
        """What loop and thread are called in records; empty where nobody told."""
        loop, _, thread = bytes(self._names).rstrip(b"\0").decode(errors="ignore").partition("\n")
        return loop, thread

    def release(self) -> None:
        """For another loop. Once only: the slot may be another's by then."""
        self.words[_GENERATION] = 0
        self._free.append(self)

    def close(self) -> None:
        self._names.release()
        self.words.release()


class Page:
    """The whole page. `descriptor` is handed to the observer, which maps it again."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._map = mmap.mmap(descriptor, SIZE_BYTES)
        self._words = memoryview(self._map).cast("q")
        self._free: list[Slot] = []
        self.slots = [Slot(self._words, index, self._free) for index in range(SLOTS)]
        self._free += reversed(self.slots)
        self._generations = self._words[HEADER_WORDS + _GENERATION :: SLOT_WORDS]
        self._new_generation = count(1)

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

    def occupy(
        self,
        thread_state: int,
        native_id: int,
        kind: int,
        *,
        base: int = 0,
        names: str = "",
        turn_in_frame: int = 0,
    ) -> Slot | None:
        """A free slot for a loop that starts, and has its first beat now; None when all are taken. For any thread.

        `names` are those of loop and thread, a newline between them.
        """
        try:
            slot = self._free.pop()
        except IndexError:
            return None
        # Once a run of a loop, of which a suite of tests has thousands: each call here costs it what ten cost in a
        # loop, for nothing of it is in the caches.
        began_ns = time.monotonic_ns()
        slot.began_ns, slot.run = began_ns, next(self._new_generation)
        BEGINNING.pack_into(
            slot.words,
            8 * _THREAD_STATE,
            thread_state,
            native_id,
            base,
            kind,
            began_ns,
            id(float),
            turn_in_frame,
            names.encode(errors="replace"),
        )
        slot.words[_GENERATION] = slot.run  # last: from here on the observer looks
        return slot

    def live(self) -> list[Slot]:
        return [slot for slot, generation in zip(self.slots, self._generations.tolist(), strict=False) if generation]

    def close(self) -> None:
        """Let go of the memory; the descriptor stays the caller's to close."""
        for slot in self.slots:
            slot.close()
        self._generations.release()
        self._words.release()
        self._map.close()

"""Looking for known values in memory: what calibration is made of."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from loophound.observer.layout import WORD
from loophound.observer.memory import BLOCK_BYTES, BadAddress, Readable

_LOWEST_ADDRESS = 65536  # nothing is mapped below (vm.mmap_min_addr)


class CalibrationError(Exception):
    """This interpreter's memory was not recognised, or cannot be read; the message says why."""


def body_of(memory: Readable, address: int, size: int) -> bytes:
    """What an object may hold: `size` bytes, or fewer where the mapping ends."""
    try:
        return memory.read(address, size)
    except BadAddress:
        return memory.read(address, BLOCK_BYTES - address % BLOCK_BYTES)


def peek(memory: Readable, address: int) -> int:
    """The word at what may be no address at all; 0 then."""
    if address < _LOWEST_ADDRESS or address % WORD.size:
        return 0
    try:
        return memory.word(address)
    except BadAddress:
        return 0


def place_of(what: str, samples: Iterable[tuple[bytes, int]], form: struct.Struct = WORD, start: int = 0) -> int:
    """The first place at which every sample, a pair (memory of an object, value), holds its value.

    Raises CalibrationError when there is none.
    """
    common = set.intersection(
        *(
            {
                place
                for place in range(start, len(body) - form.size + 1, form.size)
                if form.unpack_from(body, place)[0] == value
            }
            for body, value in samples
        )
    )
    if not common:
        raise CalibrationError(f"{what} was not found in this interpreter's objects")
    return min(common)

"""CPython's location table: which source range an instruction belongs to (3.11 and later).

The format is described in Objects/locations.md (InternalDocs/code_objects.md in later
versions) of the CPython sources. Entries are one byte `1 kind(4) length-1(3)` and a payload
in which no byte has its top bit set.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

CODE_UNIT_BYTES = 2
_SHORT_LAST, _ONE_LINE_FIRST, _ONE_LINE_LAST = 9, 10, 12
_NO_COLUMNS, _LONG, _NO_LOCATION = 13, 14, 15
_ENTRY_BIT, _MORE_BIT = 128, 64
# Lines are C ints; a longer number is not a table.
_MAX_VARINT_BITS = 32


class Location(NamedTuple):
    """A source range; 0 and -1 stand for what the table does not give."""

    line: int  # 1-based
    column: int = -1  # 0-based UTF-8 byte offset
    end_column: int = -1  # -1 too when the range ends on another line


NOWHERE = Location(0)


def locate(table: bytes, first_line: int, byte_offset: int) -> Location | None:
    """The location of the instruction at `byte_offset` of the code, None when the table ends before.

    Raises ValueError when `table` is not a location table.
    """
    if byte_offset >= 0:
        for end, location in entries(table, first_line):
            if byte_offset < end:
                return location
    return None


def entries(table: bytes, first_line: int) -> Iterator[tuple[int, Location]]:
    """Each entry as (byte offset of the code at which it ends, location), in order.

    Raises ValueError when `table` is not a location table.
    """
    line, end, i = first_line, 0, 0
    while i < len(table):
        head = table[i]
        if not head & _ENTRY_BIT:
            raise ValueError(f"byte {i} of the location table does not begin an entry")
        kind = (head >> 3) & 15
        end += ((head & 7) + 1) * CODE_UNIT_BYTES
        i += 1
        if kind == _NO_LOCATION:
            location = NOWHERE
        elif kind <= _SHORT_LAST:
            second = _payload_byte(table, i)
            column = kind << 3 | second >> 4
            location, i = Location(line, column, column + (second & 15)), i + 1
        elif kind <= _ONE_LINE_LAST:
            line += kind - _ONE_LINE_FIRST
            location, i = Location(line, _payload_byte(table, i), _payload_byte(table, i + 1)), i + 2
        else:
            delta, i = _signed_varint(table, i)
            line += delta
            location = Location(line)
            if kind == _LONG:
                lines, i = _varint(table, i)
                column, i = _varint(table, i)
                end_column, i = _varint(table, i)
                # Columns are stored one up, so that 0 can say that there is none.
                location = Location(line, column - 1, -1 if lines else end_column - 1)
        yield end, location


def _payload_byte(table: bytes, i: int) -> int:
    if i >= len(table):
        raise ValueError("the location table ends inside an entry")
    if table[i] & _ENTRY_BIT:
        raise ValueError(f"byte {i} of the location table begins an entry inside another")
    return table[i]


def _varint(table: bytes, i: int) -> tuple[int, int]:
    """Six bits a byte, least significant first. Gives the value and the next index."""
    value = shift = 0
    while True:
        byte = _payload_byte(table, i)
        value |= (byte & 63) << shift
        i, shift = i + 1, shift + 6
        if not byte & _MORE_BIT:
            return value, i
        if shift > _MAX_VARINT_BITS:
            raise ValueError("a number in the location table is too long")


def _signed_varint(table: bytes, i: int) -> tuple[int, int]:
    value, i = _varint(table, i)
    return (-(value >> 1) if value & 1 else value >> 1), i

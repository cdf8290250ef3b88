"""Code objects of the watched process, read from outside and kept.

A code object that has died may be followed by another at the same address, down to its
strings. So what is kept carries its evidence: the very bytes from which it was read, and it
is used again only where they stand unchanged. From 3.12 on a code object has a number of its
own, which makes its fixed part evidence enough.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from loophound.observer.layout import ABSENT, INT, WORD, Layout
from loophound.observer.linetable import NOWHERE, Location, entries, locate
from loophound.observer.memory import Readable
from loophound.observer.objects import Evidence, Torn, read_bytes, read_text, stands

MAX_CODE_UNITS = 1 << 24
MAX_FRAME_WORDS = 1 << 16
MAX_CODES = 4096


@dataclass(slots=True)
class Code:
    """A code object. `evidence` is what must stand for the rest to be true."""

    address: int
    filename: str
    qualname: str
    first_line: int
    size: int  # bytes of instructions
    frame_words: int  # locals and evaluation stack of a frame that runs it
    first_traceable: int  # byte offset; a frame before it has not begun
    table: bytes
    evidence: Evidence
    _locations: dict[int, Location] = field(default_factory=dict)

    @property
    def is_internal(self) -> bool:
        """Whether the interpreter made it for its own use, as the frame under 3.13's inlined __init__."""
        return not self.table

    def location(self, byte_offset: int) -> Location:
        found = self._locations.get(byte_offset)
        if found is None:
            found = self._locations[byte_offset] = locate(self.table, self.first_line, byte_offset) or NOWHERE
        return found


class CodeReader:
    """Reads code objects, and keeps the last ones it read."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._codes: dict[int, Code] = {}
        pointers = (layout.code_filename, layout.code_qualname, layout.code_line_table)
        numbers = (layout.code_first_line, layout.code_locals)
        version = () if layout.code_version == ABSENT else (layout.code_version,)
        # The fields from the first line to the location table are set once, when the object is made.
        self._fixed = min(pointers + numbers + version)
        self._fixed_end = max(pointers + numbers + version) + WORD.size

    def read(self, memory: Readable, address: int) -> Code:
        """The code object at `address`. Raises Torn or BadAddress when there is none."""
        code = self._codes.get(address)
        if code is not None and stands(memory, code.evidence):
            return code
        code = self._read(memory, address)
        if len(self._codes) >= MAX_CODES:
            del self._codes[next(iter(self._codes))]
        self._codes[address] = code
        return code

    def _read(self, memory: Readable, address: int) -> Code:
        layout = self._layout
        body = memory.read(address, layout.code_start)
        if WORD.unpack_from(body, layout.object_type)[0] != layout.code_type:
            raise Torn("no code object")
        units = WORD.unpack_from(body, layout.code_size)[0]
        words = INT.unpack_from(body, layout.code_locals)[0] + INT.unpack_from(body, layout.code_stack_size)[0]
        if not 0 < units <= MAX_CODE_UNITS or not 0 <= words <= MAX_FRAME_WORDS:
            raise Torn("a code object of an impossible size")
        filename, of_filename = read_text(memory, layout, WORD.unpack_from(body, layout.code_filename)[0])
        qualname, of_qualname = read_text(memory, layout, WORD.unpack_from(body, layout.code_qualname)[0])
        table, of_table = read_bytes(memory, layout, WORD.unpack_from(body, layout.code_line_table)[0])
        first_line = INT.unpack_from(body, layout.code_first_line)[0]
        _check_table(table, first_line, units * 2)
        evidence: Evidence = tuple(
            (address + start, body[start:end])
            for start, end in (
                (layout.object_type, layout.code_size + WORD.size),
                (self._fixed, self._fixed_end),
            )
        )
        if layout.code_version == ABSENT or not INT.unpack_from(body, layout.code_version)[0]:
            evidence += of_filename + of_qualname + of_table
        traceable = INT.unpack_from(body, layout.code_first_traceable)[0] * 2
        return Code(address, filename, qualname, first_line, units * 2, words, traceable, table, evidence)


def _check_table(table: bytes, first_line: int, size: int) -> None:
    """A location table covers its code exactly; garbage hardly does."""
    try:
        ends = [end for end, _ in entries(table, first_line)]
    except ValueError as error:
        raise Torn(str(error)) from None
    if ends and ends[-1] != size:
        raise Torn("a location table of another code object")

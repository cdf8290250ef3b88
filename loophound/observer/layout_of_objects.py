"""Where code objects, strings and bytes keep their fields, found in samples of known contents.

The samples are made first and then looked at through one `Pages`: each look at the memory is
a system call that lets go of the GIL, and a busy thread may keep it for 5 ms each time.
"""

from __future__ import annotations

import itertools
import opcode
import struct
import sys
import types
from collections.abc import Callable

from loophound.observer.layout import ABSENT, INT, WORD
from loophound.observer.linetable import CODE_UNIT_BYTES
from loophound.observer.memory import Pages, Readable
from loophound.observer.places import CalibrationError, body_of, place_of

_TYPE_PLACE = WORD.size  # behind the reference count
_SIZE_PLACE = 2 * WORD.size  # where an object's own fields begin
_CODE_BYTES = 1024
_CODE_PREFIX_BYTES = 64
_COPIES = 8
_BATCHES = 4
_TEXT_BYTES = 512
_POINTER_DISTANCE = 16  # two objects lie at least so far apart


def code_fields(memory: Readable) -> dict[str, int]:
    """The offsets in a code object. Raises CalibrationError."""
    codes = _sample_codes()
    batches = [[codes[0].replace() for _ in range(_COPIES)] for _ in range(_BATCHES)]
    memory = Pages(memory)
    starts = {body_of(memory, id(code), _CODE_BYTES).find(code.co_code[:_CODE_PREFIX_BYTES]) for code in codes}
    start = starts.pop()
    if starts or start <= 0:
        raise CalibrationError("the instructions were not found in this interpreter's code objects")
    bodies = [memory.read(id(code), start) for code in codes]
    copied = [[memory.read(id(copy), start) for copy in copies] for copies in batches]

    def place(what: str, value: Callable[[types.CodeType], int], form: struct.Struct = WORD) -> int:
        return place_of(what, zip(bodies, map(value, codes), strict=True), form, _SIZE_PLACE)

    return {
        "object_type": place_of("an object's type", [(body, id(types.CodeType)) for body in bodies]),
        "code_type": id(types.CodeType),
        "code_size": place("the size of a code object", lambda code: len(code.co_code) // CODE_UNIT_BYTES),
        "code_first_line": place("co_firstlineno", lambda code: code.co_firstlineno, INT),
        "code_locals": place("the number of local variables", _number_of_locals, INT),
        "code_stack_size": place("co_stacksize", lambda code: code.co_stacksize, INT),
        "code_first_traceable": place("the first traceable instruction", _index_of_resume, INT),
        "code_version": max(map(_version_place, copied)),
        "code_filename": place("co_filename", lambda code: id(code.co_filename)),
        "code_qualname": place("co_qualname", lambda code: id(code.co_qualname)),
        "code_line_table": place("co_linetable", lambda code: id(code.co_linetable)),
        "code_start": start,
    }


def _sample_codes() -> list[types.CodeType]:
    """Code objects that were never run, so not yet specialised, with no two fields alike."""
    codes = []
    for n in range(4):
        cells = range(29 + 7 * n)
        source = (
            "\n" * (5432 + 777 * n)
            + f"class Holder:\n def outer_{n}(argument):\n"  # in a class, for a qualified name
            + "".join(f"  cell_{cell} = argument\n" for cell in cells)
            + f"  argument({', '.join(['argument'] * (61 + 11 * n))})\n"
            # A generator begins two instructions later than the number of its cells says.
            + ("  yield\n" if n % 2 else "")
            + f"  def inner(): return {' + '.join(f'cell_{cell}' for cell in cells)}\n"
            + "  return inner\n"
        )
        module = compile(source, f"calibration_{n}.py", "exec")
        (holder,) = _codes_in(module)
        codes += _codes_in(holder)
    return codes


def _codes_in(code: types.CodeType) -> list[types.CodeType]:
    return [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]


def _number_of_locals(code: types.CodeType) -> int:
    return len({*code.co_varnames, *code.co_cellvars, *code.co_freevars})


def _index_of_resume(code: types.CodeType) -> int:
    return code.co_code[::CODE_UNIT_BYTES].index(opcode.opmap["RESUME"])


def _version_place(copies: list[bytes]) -> int:
    """3.12 and later number code objects as they are made; ABSENT where they do not.

    Copies of one code object, here oldest first, differ in nothing but this number and pointers.
    Code that another thread makes between two of them spoils a batch.
    """

    def counts(place: int) -> bool:
        values = [INT.unpack_from(copy, place)[0] for copy in copies]
        return all(0 < after - before < _POINTER_DISTANCE for before, after in itertools.pairwise(values))

    return next(filter(counts, range(_SIZE_PLACE, len(copies[0]), INT.size)), ABSENT)


def text_fields(memory: Readable) -> dict[str, int]:
    """The offsets in str and bytes. Raises CalibrationError."""
    order = "le" if sys.byteorder == "little" else "be"
    kinds = [
        ("a", 1, "ascii"),
        ("\xe9", 1, "latin-1"),
        ("\u20ac", 2, "utf-16-" + order),
        ("\U0001f600", 4, "utf-32-" + order),
    ]
    # Several of each kind: what is sought is a few bits, and a hash is 64 of them.
    samples = [(mark + "calibration" * (n + 1), kind, encoding) for n in range(4) for mark, kind, encoding in kinds]
    octets = [b"calibration" * n for n in range(2, 6)]
    memory = Pages(memory)
    bodies = [body_of(memory, id(text), _TEXT_BYTES) for text, _, _ in samples]
    data = [body.find(text.encode(encoding)) for body, (text, _, encoding) in zip(bodies, samples, strict=True)]
    ascii_data, compact_data = data[:2]
    if data != [ascii_data, *[compact_data] * 3] * 4 or not 0 < ascii_data < compact_data:
        raise CalibrationError("the characters were not found in this interpreter's str")
    headers = [body[:ascii_data] for body in bodies]
    state, shift = _kind_place(headers, [kind for _, kind, _ in samples])
    lengths = [len(text) for text, _, _ in samples]
    contents = [body_of(memory, id(value), _TEXT_BYTES) for value in octets]
    starts = {content.find(value) for content, value in zip(contents, octets, strict=True)}
    if len(starts) != 1 or min(starts) <= 0:
        raise CalibrationError("the contents were not found in this interpreter's bytes")
    return {
        "str_type": id(str),
        "str_length": place_of("the length of a str", zip(headers, lengths, strict=True), start=_SIZE_PLACE),
        "str_state": state,
        "str_kind_shift": shift,
        "str_ascii_bit": _ascii_bit([INT.unpack_from(header, state)[0] for header in headers]),
        "str_ascii_data": ascii_data,
        "str_compact_data": compact_data,
        "bytes_type": id(bytes),
        "bytes_length": place_of(
            "the length of bytes", zip(contents, map(len, octets), strict=True), start=_SIZE_PLACE
        ),
        "bytes_data": starts.pop(),
    }


def _kind_place(headers: list[bytes], kinds: list[int]) -> tuple[int, int]:
    """The place of a str's state, and of the three bits in it that give the size of a character."""
    for place in range(_SIZE_PLACE, len(headers[0]), INT.size):
        states = [INT.unpack_from(header, place)[0] for header in headers]
        for shift in range(30):
            if [state >> shift & 7 for state in states] == kinds:
                return place, shift
    raise CalibrationError("the kind of a str was not found in this interpreter's objects")


def _ascii_bit(states: list[int]) -> int:
    for bit in range(32):
        if [state >> bit & 1 for state in states] == [1, 0, 0, 0] * 4:
            return bit
    raise CalibrationError("the mark of an ASCII str was not found in this interpreter's objects")

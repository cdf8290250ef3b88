"""Where CPython keeps what the observer reads: offsets in bytes, found by calibrate.py.

The layout of one process is of no use for another: the addresses of the types differ.
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass, fields

WORD = struct.Struct("=Q")
INT = struct.Struct("=i")
ABSENT = -1  # a field that this version of the interpreter does not have


@dataclass(frozen=True, slots=True)
class Layout:
    """Offsets in the structures of one running interpreter."""

    # thread state
    state_next: int
    state_previous: int
    state_interpreter: int
    state_native_id: int
    state_frame: int  # the current frame, or the C frame that points to it
    c_frame: int  # 3.11 and 3.12: the current frame's place in the C frame; else ABSENT
    interpreter_threads: int  # the first thread state, in the interpreter state
    state_turn: int  # 64 bits that change with each callback, see `turn_place`; ABSENT where they were not found

    # frame
    frame_function: int
    frame_code: int
    frame_previous: int
    frame_instruction: int
    frame_stack_top: int  # 32 bits; negative while the frame itself runs or is in a C call
    frame_entry: int  # 3.11: one byte, true where C code entered the interpreter; else ABSENT
    frame_owner: int  # one byte
    frame_locals: int  # first local variable; the end of the fixed part
    owner_generator: int  # value of the owner byte in a generator's or coroutine's frame
    owner_c_stack: int  # and in the shim frames with which C code enters 3.12 and later; else ABSENT
    coroutine_frame: int  # the frame's place in its generator, coroutine or asynchronous generator
    coroutine_state: int  # one byte there, 0 (FRAME_EXECUTING) while it runs or is in a call

    # code
    code_type: int  # an address, as the other types
    code_size: int  # in code units of two bytes
    code_first_line: int
    code_locals: int  # number of local, cell and free variables
    code_stack_size: int
    code_first_traceable: int  # in code units; a frame before it has not begun
    code_version: int  # 32 bits, unlike in any other code object, or 0; ABSENT in 3.11
    code_filename: int
    code_qualname: int
    code_line_table: int
    code_start: int

    # str and bytes
    object_type: int
    str_type: int
    str_length: int
    str_state: int  # 32 bits
    str_kind_shift: int  # of the three bits in the state that give the size of a character
    str_ascii_bit: int
    str_ascii_data: int
    str_compact_data: int
    bytes_type: int
    bytes_length: int
    bytes_data: int

    # dict, for the scope of an ASGI request; all ABSENT where they were not found
    dict_type: int
    dict_keys: int  # the address of its table
    keys_entries: int  # in the table: how many entries it has
    keys_index_log: int  # one byte: the logarithm of the size of the index before the entries
    keys_index: int  # where the index begins
    cell_type: int  # of a variable that functions within share
    cell_contents: int
    key_type: int  # addresses of the keys "type", "method" and "path", which are the same str objects everywhere
    key_method: int
    key_path: int

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Layout:
        """Read back what `to_json` gave. Raises ValueError for anything else."""
        values = json.loads(text)
        names = {entry.name for entry in fields(cls)}
        if not isinstance(values, dict) or values.keys() != names:
            raise ValueError("this is not the layout of an interpreter")
        if not all(type(value) is int for value in values.values()):
            raise ValueError("a layout holds whole numbers only")
        return cls(**values)

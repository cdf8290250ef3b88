"""Where a dict keeps its entries, for reading an ASGI scope from outside."""

from __future__ import annotations

import struct
import types
from typing import Any

from loophound.observer.layout import ABSENT, WORD
from loophound.observer.memory import BadAddress, Pages, Readable
from loophound.observer.places import CalibrationError, body_of, place_of

_SIZE_PLACE = 2 * WORD.size  # where an object's own fields begin
_TABLE_BYTES = 4096
_BYTE = struct.Struct("B")
# A str constant that looks like a name is one object for the whole interpreter, so a key of a scope is known by
# its address, whoever made the scope.
_TYPE, _METHOD, _PATH = SCOPE_KEYS = ("type", "method", "path")
_FIELDS = ("dict_type", "dict_keys", "keys_entries", "keys_index_log", "keys_index", "cell_type", "cell_contents")


def scope_fields(memory: Readable) -> dict[str, int]:
    """The offsets in a dict and its table, and the addresses of the keys. All ABSENT where they are not found."""
    try:
        found = _dict_fields(memory) | _cell_fields(memory)
    except (CalibrationError, BadAddress):
        return dict.fromkeys((*_FIELDS, "key_type", "key_method", "key_path"), ABSENT)
    return {**found, "key_type": id(_TYPE), "key_method": id(_METHOD), "key_path": id(_PATH)}


def _dict_fields(memory: Readable) -> dict[str, int]:
    # Tables of several sizes, as they grow when an application notes what it knows in its scope.
    samples: list[dict[Any, Any]] = [{f"key {n}": f"value {n}" for n in range(size)} for size in (4, 9, 17, 50)]
    memory = Pages(memory)
    bodies = [memory.read(id(sample), dict.__sizeof__({})) for sample in samples]
    for place in range(_SIZE_PLACE, len(bodies[0]), WORD.size):
        addresses = [WORD.unpack_from(body, place)[0] for body in bodies]
        try:
            tables = [body_of(memory, address, _TABLE_BYTES) for address in addresses]
            return {"dict_type": id(dict), "dict_keys": place, **_table_fields(tables, samples)}
        except (CalibrationError, BadAddress):
            continue
    raise CalibrationError("the table was not found in this interpreter's dict")


def _table_fields(tables: list[bytes], samples: list[dict[Any, Any]]) -> dict[str, int]:
    starts = [table.find(_entries_of(sample)) for table, sample in zip(tables, samples, strict=True)]
    if min(starts) <= 0:
        raise CalibrationError("the entries were not found in this interpreter's dict")
    heads = [table[: min(starts)] for table in tables]
    entries = place_of("the number of entries", zip(heads, map(len, samples), strict=True))
    index = entries + WORD.size
    sizes = [(head, (start - index).bit_length() - 1) for head, start in zip(heads, starts, strict=True)]
    if any(1 << log != start - index for (_, log), start in zip(sizes, starts, strict=True)):
        raise CalibrationError("the index of a dict has an odd size")
    log = place_of("the size of the index", sizes, _BYTE)
    return {"keys_entries": entries, "keys_index_log": log, "keys_index": index}


def _entries_of(sample: dict[Any, Any]) -> bytes:
    """As a table whose keys are all str keeps them."""
    return b"".join(WORD.pack(id(key)) + WORD.pack(id(value)) for key, value in sample.items())


def _cell_fields(memory: Readable) -> dict[str, int]:
    cells = [types.CellType(contents) for contents in SCOPE_KEYS]
    size = types.CellType.__sizeof__(cells[0])
    samples = [(memory.read(id(cell), size), id(cell.cell_contents)) for cell in cells]
    return {"cell_type": id(types.CellType), "cell_contents": place_of("the contents of a cell", samples)}

"""Strings and bytes of the watched process, read from outside with the evidence for them."""

from __future__ import annotations

import sys

from loophound.observer.layout import INT, WORD, Layout
from loophound.observer.memory import Readable

MAX_TEXT_CHARACTERS = 4096  # PATH_MAX; longer names are taken for garbage
MAX_BYTES = 1 << 20

_ENCODINGS = {1: "latin-1", 2: "utf-16", 4: "utf-32"}
_BYTE_ORDER = "-le" if sys.byteorder == "little" else "-be"

# Addresses and the bytes that must stand there for something to be true.
Evidence = tuple[tuple[int, bytes], ...]


class Torn(Exception):
    """What was read cannot be one moment of a thread: it ran on meanwhile, or the address is stale."""


def stands(memory: Readable, evidence: Evidence) -> bool:
    """Whether all of the bytes are still where they were read."""
    return all(memory.read(address, len(content)) == content for address, content in evidence)


def read_text(memory: Readable, layout: Layout, address: int) -> tuple[str, Evidence]:
    """The str at `address`. Raises Torn or BadAddress when there is none, or a subclass of it."""
    header = memory.read(address, layout.str_ascii_data)
    length = WORD.unpack_from(header, layout.str_length)[0]
    state = INT.unpack_from(header, layout.str_state)[0]
    kind = state >> layout.str_kind_shift & 7
    if WORD.unpack_from(header, layout.object_type)[0] != layout.str_type:
        raise Torn("no str")
    if length > MAX_TEXT_CHARACTERS or kind not in _ENCODINGS:
        raise Torn("an impossible str")
    ascii_only = state >> layout.str_ascii_bit & 1
    data = address + (layout.str_ascii_data if ascii_only else layout.str_compact_data)
    content = memory.read(data, length * kind)
    try:
        text = _decode(content, kind)
    except UnicodeError:
        raise Torn("a str with impossible characters") from None
    return text, _whole(memory, address + layout.object_type, data + len(content))


def read_bytes(memory: Readable, layout: Layout, address: int) -> tuple[bytes, Evidence]:
    """The bytes object at `address`. Raises Torn or BadAddress when there is none."""
    header = memory.read(address, layout.bytes_data)
    length = WORD.unpack_from(header, layout.bytes_length)[0]
    if WORD.unpack_from(header, layout.object_type)[0] != layout.bytes_type or length > MAX_BYTES:
        raise Torn("no bytes")
    content = memory.read(address + layout.bytes_data, length)
    end = address + layout.bytes_data + length
    return content, _whole(memory, address + layout.object_type, end)


def _whole(memory: Readable, start: int, end: int) -> Evidence:
    # From the type on, so without the reference count. The rest of a str or bytes object changes
    # once at most, when its hash or another form of it is kept; that costs a walk and no truth.
    return ((start, memory.read(start, end - start)),)


def _decode(content: bytes, kind: int) -> str:
    if kind == 1:
        return content.decode("latin-1")
    return content.decode(_ENCODINGS[kind] + _BYTE_ORDER, "surrogatepass")

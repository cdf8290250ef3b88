"""How the faces put a record into words: durations, places, safe text."""

from __future__ import annotations

import os

from loophound.detector.records import OtherThread, Place, ProfileLine, StackFrame, Stall

LONGEST_TEXT = 200


def safe(text: str, longest: int = LONGEST_TEXT) -> str:
    """Text from outside, harmless in a terminal: what does not print is written as an escape.

    That covers control characters (ECMA-48 sequences, line ends), bidirectional overrides
    and lone surrogates. Longer text loses its middle.
    """
    if len(text) > longest:
        half = (longest - 1) // 2
        text = f"{text[:half]}…{text[-half:]}"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def duration(seconds: float) -> str:
    """`312 ms`, `1.24 s`, `2 min 5 s`."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 100:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def place(at: Place | StackFrame | ProfileLine | OtherThread) -> str:
    """`main.py:44 in show`."""
    return safe(f"{os.path.basename(at.file)}:{at.line} in {at.function}")


def full_place(at: Place | StackFrame | ProfileLine | OtherThread) -> str:
    """The same with the whole path."""
    return safe(f"{at.file}:{at.line} in {at.function}")


def relative_place(at: StackFrame) -> str:
    """The same with the path from the working directory."""
    return safe(f"{relative(at.file)}:{at.line} in {at.function}")


def relative(file: str) -> str:
    """A path as short as it can be: from the working directory where it lies below."""
    try:
        short = os.path.relpath(file)
    except (OSError, ValueError):
        return file
    return file if short.startswith("..") else short


def request(stall: Stall) -> str | None:
    """`GET /show/7`."""
    return None if stall.request is None else safe(f"{stall.request.method} {stall.request.path}")


def count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"

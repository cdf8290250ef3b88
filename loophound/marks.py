"""The exact mark: which function to offload, where its `def` stands, and which are marked already.

Kept apart from `offloading`, so that reports can name a mark without loading what runs it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from loophound.detector.records import Cause

# Functions marked in this process, by file and qualified name of their code: the executor.
marked: dict[tuple[str, str], str] = {}
MOST_LINES = 500  # that a function may be long, to be found from a line in it

# Given a file and two line numbers: the lines between that exist, with their numbers.
Lines = Callable[[str, int, int], Sequence[tuple[int, str]]]


@dataclass(frozen=True, slots=True)
class Definition:
    """Where a function is defined; `line` is that of its `def`."""

    file: str
    line: int
    function: str
    is_async: bool

    @property
    def place(self) -> str:
        """`app.py:6`."""
        return f"{PurePath(self.file).name}:{self.line}"


def definition(lines: Lines, file: str, line: int, function: str) -> Definition | None:
    """The `def` of the function that this line is in; None where the source does not tell.

    `function` is a qualified name: what a comprehension or a lambda does is the doing of the function around it.
    """
    names = [part for part in function.split(".") if part.isidentifier()]
    if not names or function == "<module>":
        return None
    name = names[-1]
    function = function[: function.rindex(name) + len(name)].rpartition("<locals>.")[2]
    pattern = re.compile(rf"\s*(async\s+)?def\s+{name}\b")
    for number, text in reversed(lines(file, line - MOST_LINES, line)):
        if found := pattern.match(text):
            return Definition(file, number, function, is_async=found[1] is not None)
    return None


def executor_for(cause: Cause, gil_held: bool | None) -> str | None:
    """Where such a stall would disturb nobody; None where no executor helps."""
    match cause:
        case Cause.SLEEP | Cause.IO | Cause.LOCK:
            return "thread"
        case Cause.CPU:
            return "process"
        case Cause.NATIVE:
            return "thread" if gil_held is False else "process"
    return None


def mark(executor: str) -> str:
    """`@loophound.offload(executor="process")`."""
    return "@loophound.offload" if executor == "thread" else f'@loophound.offload(executor="{executor}")'


def advice(found: Definition, executor: str, route: str | None) -> str:
    """What to mark, exactly: "mark `def total` (shop.py:6) with `@loophound.offload`, and await it"."""
    if not found.is_async:
        return f"mark `def {found.function}` ({found.place}) with `{mark(executor)}`, and await it"
    rule = f', or give its route a side loop: `OffloadMiddleware(app, rules=["{route}"])`' if route else ""
    if executor != "thread":  # a side loop shares the GIL
        rule = ""
    return (
        f"move what blocks in `async def {found.function}` ({found.place}) into a function marked with "
        f"`{mark(executor)}`{rule}"
    )


def around(frames: Sequence[tuple[str, str]]) -> str | None:
    """What to say of a stack (file and qualified name of each frame, outermost first) in which a marked function
    runs on the loop all the same. None where there is none.
    """
    for file, function in reversed(frames):
        if (file, function) in marked:
            name = function.rpartition("<locals>.")[2]
            return (
                f"{name} is marked with `{mark(marked[file, function])}`, and was called around the mark: call it by "
                f"its marked name and await it, not as `{name}.__wrapped__(...)`"
            )
    return None

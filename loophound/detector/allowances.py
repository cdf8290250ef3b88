"""Blocking that is meant: which stalls are nobody's fault because somebody said so, and why.

Pure: a project's allowances name code, a permit marks a time and the function that gave it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from loophound.detector.episode import Span
from loophound.detector.frames import CodeFrame

COVERED = 0.5  # of a stall


@dataclass(frozen=True, slots=True)
class Allowance:
    """Code that may block: "package.module", "package.module:function" or "package.module:Class.method"."""

    code: str
    reason: str

    def covers(self, frame: CodeFrame) -> bool:
        module, _, function = self.code.partition(":")
        path = module.replace(".", "/")
        file = frame.file.replace("\\", "/")
        if not any(f"/{file}".endswith(f"/{path}{ending}") for ending in (".py", "/__init__.py")):
            return False
        # What is defined inside an allowed function is a part of it.
        return not function or frame.function == function or frame.function.startswith(f"{function}.")


@dataclass(slots=True)
class Permit:
    """Given by a function while it runs; `ended_ns` is 0 as long as it does."""

    thread: int
    file: str
    function: str
    reason: str
    began_ns: int
    ended_ns: int = 0

    def covers(self, thread: int, span: Span, frames: Iterable[CodeFrame]) -> bool:
        """Whether a stall was the doing of the function that gave it: other tasks may have run meanwhile."""
        if thread != self.thread:
            return False
        permitted = Span(self.began_ns, self.ended_ns or span.ended_ns)
        if span.overlap_ns(permitted) < span.length_ns * COVERED:
            return False
        return any(frame.file == self.file and frame.function == self.function for frame in frames)


class Allowances:
    """Those of a project; remembers which were needed."""

    def __init__(self, allowances: Sequence[Allowance] = ()) -> None:
        self._needed = dict.fromkeys(allowances, False)

    def cover(self, frames: Sequence[CodeFrame]) -> bool:
        covering = [a for a in self._needed if any(a.covers(frame) for frame in frames)]
        self._needed.update(dict.fromkeys(covering, True))
        return bool(covering)

    @property
    def unused(self) -> list[Allowance]:
        return [allowance for allowance, needed in self._needed.items() if not needed]

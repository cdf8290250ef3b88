"""A frame as the samplers see it, from inside the process or from outside."""

from __future__ import annotations

from typing import NamedTuple


class CodeFrame(NamedTuple):
    """Where one Python frame stood when it was sampled. Lists of frames run outermost first."""

    file: str  # co_filename
    line: int  # 1-based; 0 where the location table gives none
    function: str  # co_qualname
    instruction: int = -1  # byte offset of the current instruction in co_code; -1 when not known
    column: int = -1  # 0-based UTF-8 byte offset of the current expression; -1 when not known
    end_column: int = -1  # -1 when not known, or when the expression ends on another line

    @property
    def at_entry(self) -> bool:
        """Whether the function has not begun: CPython's RESUME has an empty range in the `def` line."""
        return self.column == 0 and self.end_column == 0


STAND_IN = "/loophound/calls/observing.py"


def without_stand_ins(frames: tuple[CodeFrame, ...]) -> tuple[CodeFrame, ...]:
    """The frames without those that lie around a call while calls are flagged: it is the program's own call."""
    if not any(frame.file.endswith(STAND_IN) for frame in frames):
        return frames
    return tuple(frame for frame in frames if not frame.file.endswith(STAND_IN))

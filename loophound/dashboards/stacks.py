"""A stack cut to what helps: the application's frames, the library's folded."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import loophound
from loophound.dashboards.wording import count, relative_place, safe
from loophound.detector.records import StackFrame

MOST_LINES = 14
_OWN = os.path.join(os.path.dirname(loophound.__file__), "")
_OWN_COMMANDS = os.path.join(_OWN, "cli", "")
_STANDARD_LIBRARY = re.compile(r"lib(?:64)?/python3[^/]*/([^/]+)|python3\d+\.zip/([^/]+)|<frozen ([^>.]+)")
_INSTALLED = re.compile(r"(?:site|dist)-packages/([^/]+)")


class Fold(NamedTuple):
    """Frames that are not shown."""

    frames: int
    packages: tuple[str, ...]

    def __str__(self) -> str:
        where = f" in {', '.join(self.packages)}" if self.packages else ""
        return f"… {count(self.frames, 'frame', 'frames')}{where}"


def shorten(stack: Sequence[StackFrame]) -> list[str]:
    """Lines for a stack, outermost first; runs of library frames and of recursion take one line each."""
    lines: list[str] = []
    stack = _from_the_program(stack)
    for app, run in groupby(stack, key=lambda frame: frame.app):
        frames = list(run)
        lines += _application(frames) if app else [str(_fold(frames))]
    if len(lines) > MOST_LINES:
        hidden = len(lines) - MOST_LINES + 1
        lines[3 : 3 + hidden] = [f"… {hidden} more lines"]
    return lines


def package_of(file: str) -> str:
    """The package a library's file belongs to: `requests`, `socket`."""
    if file.startswith(_OWN):
        return "loophound"
    path = file.replace(os.sep, "/")
    found = _INSTALLED.search(path) or _STANDARD_LIBRARY.search(path)
    name = next(filter(None, found.groups())) if found else os.path.basename(path)
    return safe(name.removesuffix(".py"), 40)


def _from_the_program(stack: Sequence[StackFrame]) -> Sequence[StackFrame]:
    """Without the frames of the command that runs the program, and of the script that calls the command."""
    ours = [number for number, frame in enumerate(stack) if frame.file.startswith(_OWN_COMMANDS)]
    return stack[ours[-1] + 1 :] if ours else stack


def _application(frames: list[StackFrame]) -> list[str]:
    lines = []
    for frame, run in groupby(frames):
        times = sum(1 for _ in run)
        lines.append(relative_place(frame) + (f" ({times} times)" if times > 1 else ""))
    return lines


def _fold(frames: list[StackFrame]) -> Fold:
    packages = dict.fromkeys(package_of(frame.file) for frame in frames)
    return Fold(len(frames), tuple(packages)[:6])

"""Flame graphs: how long each stack held the loop, in the formats of other tools and as a tree for our page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from loophound import __version__
from loophound.dashboards.account import subject
from loophound.dashboards.stacks import shorten
from loophound.dashboards.wording import safe
from loophound.detector.records import StackFrame
from loophound.ledger.groups import Group, Stack

SPEEDSCOPE_SCHEMA = "https://www.speedscope.app/file-format-schema.json"


@dataclass(slots=True)
class Box:
    """A call and how long it held the loop, with the calls it made."""

    label: str
    seconds: float = 0.0
    calls: dict[str, Box] = field(default_factory=dict)

    @property
    def depth(self) -> int:
        return 1 + max((call.depth for call in self.calls.values()), default=0)


def tree(group: Group) -> Box:
    """The stacks of a group put together, the library's frames folded."""
    root = Box("all")
    for stack, seconds in group.stack_s.items():
        root.seconds += seconds
        box = root
        for label in shorten(stack) or [subject(group.latest)]:
            box = box.calls.setdefault(label, Box(label))
            box.seconds += seconds
    return root


def collapsed(groups: Iterable[Group]) -> str:
    """Folded stacks, one a line with its milliseconds, as flamegraph.pl and its kin take them."""
    folded: dict[str, float] = {}
    for group in groups:
        for stack, seconds in group.stack_s.items():
            names = [_name(frame) for frame in stack] or [safe(subject(group.latest))]
            line = ";".join(name.replace(";", ":") for name in names)
            folded[line] = folded.get(line, 0.0) + seconds
    return "".join(f"{line} {max(1, round(seconds * 1000))}\n" for line, seconds in folded.items())


def speedscope(name: str, groups: Sequence[Group]) -> dict[str, Any]:
    """A file for speedscope.app: first all groups together, then each; its weights are milliseconds."""
    frames = _Frames()
    profiles = [_profile("all stalls", groups, frames)] if len(groups) != 1 else []
    profiles += [_profile(f"{group.cause.value}: {subject(group.latest)}", [group], frames) for group in groups]
    return {
        "$schema": SPEEDSCOPE_SCHEMA,
        "name": name,
        "exporter": f"loophound@{__version__}",
        "activeProfileIndex": 0,
        "shared": {"frames": frames.told},
        "profiles": profiles,
    }


class _Frames:
    """The frames of a speedscope file, each once."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self._numbers: dict[tuple[str, str, int], int] = {}

    def numbers(self, stack: Stack, otherwise: str) -> list[int]:
        places = [(frame.function, frame.file, frame.line) for frame in stack] or [(otherwise, "", 0)]
        return [self._number(*place) for place in places]

    def _number(self, function: str, file: str, line: int) -> int:
        number = self._numbers.setdefault((function, file, line), len(self.told))
        if number == len(self.told):
            self.told.append({"name": function, **({"file": file, "line": line} if file else {})})
        return number


def _profile(name: str, groups: Sequence[Group], frames: _Frames) -> dict[str, Any]:
    samples: list[list[int]] = []
    weights: list[float] = []
    for group in groups:
        for stack, seconds in group.stack_s.items():
            samples.append(frames.numbers(stack, subject(group.latest)))
            weights.append(round(seconds * 1000, 3))
    return {
        "type": "sampled",
        "name": name,
        "unit": "milliseconds",
        "startValue": 0,
        "endValue": round(sum(weights), 3),
        "samples": samples,
        "weights": weights,
    }


def _name(frame: StackFrame) -> str:
    return safe(f"{frame.function} ({frame.file}:{frame.line})")

"""Annotations of GitHub Actions: a line of output that shows up at the line of code.

Governed by "Workflow commands for GitHub Actions", setting an error or a warning message. Ten of each level are
shown for a step, so that what is known of one line is told once.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from loophound.dashboards.account import headline
from loophound.dashboards.calls import line
from loophound.detector.records import BlockingCall, Place
from loophound.pytest_plugin.verdict import Judged, Verdict

LEVELS = {Verdict.FAILED: "error", Verdict.KNOWN: "warning"}


def annotates(environment: Mapping[str, str] = os.environ) -> bool:
    return environment.get("GITHUB_ACTIONS") == "true"


def workspace(root: Path, environment: Mapping[str, str] = os.environ) -> Path:
    """The directory that names of files are relative to: a project may lie below the top of its repository."""
    return Path(environment.get("GITHUB_WORKSPACE") or root)


def of_stalls(stalls: Iterable[Judged], top: Path) -> list[str]:
    """Of what somebody has to see to, and has a line: the longest of each line and verdict."""
    worst: dict[tuple[str, str, int], Judged] = {}
    for judged in stalls:
        level, culprit = LEVELS.get(judged.verdict), judged.stall.culprit
        if level is None or culprit is None:
            continue
        key = (level, culprit.file, culprit.line)
        if key not in worst or judged.stall.duration_s > worst[key].stall.duration_s:
            worst[key] = judged
    lines = []
    for (level, *_), judged in worst.items():
        remedy = f": {judged.stall.remedy}" if judged.stall.remedy else ""
        assert judged.stall.culprit is not None
        lines.append(_command(level, judged.stall.culprit, "Event loop blocked", headline(judged.stall) + remedy, top))
    return lines


def of_calls(calls: Iterable[BlockingCall], top: Path) -> list[str]:
    """An error for a call that was refused, which fails its test, and a warning for one that happened."""
    longest: dict[tuple[str, str, int, str], BlockingCall] = {}
    for call in calls:
        if call.caller is None:
            continue
        key = ("error" if call.duration_s is None else "warning", call.caller.file, call.caller.line, call.call)
        if key not in longest or (call.duration_s or 0.0) > (longest[key].duration_s or 0.0):
            longest[key] = call
    lines = []
    for (level, *_), call in longest.items():
        assert call.caller is not None
        lines.append(_command(level, call.caller, "Blocking call on the event loop", line(call), top))
    return lines


def _command(level: str, at: Place, title: str, text: str, top: Path) -> str:
    file = Path(at.file)
    name = file.relative_to(top) if file.is_relative_to(top) else file
    return f"::{level} file={_property(str(name))},line={at.line},title={_property(title)}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")

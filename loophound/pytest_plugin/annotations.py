"""Annotations of GitHub Actions: a line of output that shows up at the line of code.

Governed by "Workflow commands for GitHub Actions", setting an error or a warning message.
"""

from __future__ import annotations

from pathlib import Path

from loophound.dashboards.account import headline
from loophound.pytest_plugin.verdict import Judged, Verdict

LEVELS = {Verdict.FAILED: "error", Verdict.KNOWN: "warning"}


def annotation(judged: Judged, root: Path) -> str:
    """Empty for what nobody has to see to, or has no line."""
    level, culprit = LEVELS.get(judged.verdict), judged.stall.culprit
    if level is None or culprit is None:
        return ""
    file = Path(culprit.file)
    name = file.relative_to(root) if file.is_relative_to(root) else file
    remedy = f": {judged.stall.remedy}" if judged.stall.remedy else ""
    place = f"file={_property(str(name))},line={culprit.line},title={_property('Event loop blocked')}"
    return f"::{level} {place}::{_data(headline(judged.stall) + remedy)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")

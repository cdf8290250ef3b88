"""The server's own log, below the dashboard that stands in its terminal."""

from __future__ import annotations

import re

from rich.text import Text

from loophound.dashboards.top.look import BAD, DIM, STRONG, WARN, box, line
from loophound.dashboards.top.views.scene import Scene
from loophound.dashboards.wording import safe

_STYLES = (
    (re.compile(r"^BLOCKED "), f"bold {BAD}"),
    (re.compile(r"^(ERROR|CRITICAL)|Error\b|Traceback"), BAD),
    (re.compile(r"^WARN"), WARN),
    (re.compile(r"^  "), DIM),
)
_ESCAPES = re.compile(r"\x1b\[[0-9;:]*m")  # colours, which a user may have asked for


def log_panel(scene: Scene, width: int, height: int) -> list[Text]:
    assert scene.log is not None
    inner = width - 4
    lines = [_line(text, inner, scene) for text in list(scene.log)[-(height - 2) :]]
    return box(lines, width, height, scene.look, [("log", STRONG)])


def _line(text: str, width: int, scene: Scene) -> Text:
    text = safe(_ESCAPES.sub("", text).expandtabs(4), 2000)
    style = next((style for pattern, style in _STYLES if pattern.search(text)), "")
    return line([(text, style)], width, scene.look)

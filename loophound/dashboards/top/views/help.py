"""The keys, from the tables that they are read by, and what the words on the screen mean."""

from __future__ import annotations

from rich.text import Text

from loophound.dashboards.top.interface import BINDINGS, Mode
from loophound.dashboards.top.look import BAD, DIM, GOOD, KEY, STRONG, WARN, Look, Span, box, fit, line
from loophound.dashboards.top.state import LoopState
from loophound.dashboards.top.views.scene import Scene
from loophound.dashboards.wording import count

STATES: tuple[tuple[LoopState, str, str], ...] = (
    (LoopState.OK, GOOD, "it answers"),
    (LoopState.BUSY, WARN, "it answers late, but within the threshold"),
    (LoopState.BLOCKED, BAD, "somebody holds it: who, for how long and in which request"),
    (LoopState.STARVED, WARN, "the machine gives it no CPU; no code is to blame"),
    (LoopState.STOPPED, WARN, "the process was stopped by a signal or a debugger"),
    (LoopState.GONE, BAD, "its process has ended"),
)
WORDS = (
    ("lag", "how long the loop takes to answer a question"),
    ("busy", "the share of the time in which it computed or stood in a call"),
    ("held", "how long a culprit, or a route, kept the loop from answering"),
    ("victims", "other requests that waited meanwhile"),
    ("dropped", "records that were lost on the way, because somebody was slow"),
)


def help_page(scene: Scene, width: int, height: int) -> list[Text]:
    look, inner = scene.look, width - 4
    lines = [line([("Keys", KEY)], inner, look)]
    for binding in BINDINGS[Mode.TABLES]:
        names = " ".join(_shown(key) for key in binding.keys)
        lines.append(_row(names, binding.help, STRONG, inner, look))
    lines += [line([], inner, look), line([("States", KEY)], inner, look)]
    lines += [_row(state.value, text, style, inner, look) for state, style, text in STATES]
    lines += [line([], inner, look), line([("Words", KEY)], inner, look)]
    lines += [_row(word, text, STRONG, inner, look) for word, text in WORDS]
    room = height - 2
    scene.interface.longest_scroll = max(0, len(lines) - room)
    first = min(scene.interface.scroll, scene.interface.longest_scroll)
    left = len(lines) - first - room
    note = f"{count(left, 'line', 'lines')} below" if left > 0 else ""
    return box(lines[first : first + room], width, height, look, [("help", STRONG)], note, focused=True)


def _shown(key: str) -> str:
    return "space" if key == " " else key


def _row(name: str, text: str, style: str, width: int, look: Look) -> Text:
    spans: list[Span] = [(fit(name, 18, look), style), ("  ", DIM), (text, "")]
    return line(spans, width, look)

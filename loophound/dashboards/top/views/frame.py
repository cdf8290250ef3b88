"""The whole screen for a size: which panels stand where."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from loophound.dashboards.top.interface import BINDINGS, Binding, Mode
from loophound.dashboards.top.look import ACCENT, DIM, FRAME, KEY, NOTICE, Span, beside, blank, box, line
from loophound.dashboards.top.panels import PANELS
from loophound.dashboards.top.views.detail import detail, excerpt
from loophound.dashboards.top.views.header import header
from loophound.dashboards.top.views.help import help_page
from loophound.dashboards.top.views.log import log_panel
from loophound.dashboards.top.views.loops import height as height_of_loops
from loophound.dashboards.top.views.loops import loops
from loophound.dashboards.top.views.scene import Scene
from loophound.dashboards.top.views.tables import table

LEAST_WIDTH, LEAST_HEIGHT = 40, 10
WIDE, TALL = 112, 34  # from which all panels are shown at once
LEAST_TABLE = 6
LEAST_WITH_LOG = 14
PREVIEW_FROM = 170  # columns from which the culprit under the cursor is shown beside the table
PREVIEW = 64


def frame(scene: Scene, width: int, height: int) -> list[Text]:
    """Exactly `height` lines of `width` columns."""
    if width < LEAST_WIDTH or height < LEAST_HEIGHT:
        return _too_small(scene, width, height)
    lines = header(scene, width)
    rest = height - len(lines) - 1
    below: list[Text] = []
    if scene.log is not None and rest >= LEAST_WITH_LOG:
        room = min(12, rest // 3)
        below = log_panel(scene, width, room)
        rest -= room
    mode = scene.interface.mode
    if mode is Mode.HELP:
        lines += help_page(scene, width, rest)
    elif scene.board.server is None:
        lines += box([line([("waiting for the first word of the server", DIM)], width - 4, scene.look)], width, rest,
                     scene.look, [("loophound", FRAME)])  # fmt: skip
    else:
        most = max(4, rest // (3 if scene.interface.chosen is None else 4))
        own = height_of_loops(scene, most)
        lines += loops(scene, width, own)
        rest -= own
        lines += detail(scene, width, rest) if scene.interface.chosen is not None else _tables(scene, width, rest)
    return [*lines, *below, footer(scene, width)]


def _tables(scene: Scene, width: int, height: int) -> list[Text]:
    focus = PANELS[scene.interface.focus]
    if scene.interface.zoomed or width < WIDE or height < TALL - 12:
        return table(scene, focus, width, height, tabs=True)
    names = list(PANELS)
    rows = max(LEAST_TABLE, (height - LEAST_TABLE) // 3)
    top = height - 2 * rows
    half = width // 2
    first = _first_row(scene, names[0], width, top)
    second = beside(table(scene, PANELS[names[1]], half, rows), table(scene, PANELS[names[2]], width - half, rows))
    third = beside(table(scene, PANELS[names[3]], half, rows), table(scene, PANELS[names[4]], width - half, rows))
    return [*first, *second, *third]


def _first_row(scene: Scene, name: str, width: int, height: int) -> list[Text]:
    if width < PREVIEW_FROM:
        return table(scene, PANELS[name], width, height)
    return beside(table(scene, PANELS[name], width - PREVIEW, height), excerpt(scene, PANELS[name], PREVIEW, height))


def footer(scene: Scene, width: int) -> Text:
    """The keys, or what is typed, and a message at the right."""
    interface, look = scene.interface, scene.look
    message = interface.message(scene.real_now_s)
    end: list[Span] = [(f" {message} ", f"bold {ACCENT}")] if message else []
    if interface.mode is Mode.FILTER:
        typed: list[Span] = [(" filter ", NOTICE), (f" {interface.filter}", "bold"), ("_", "blink")]
        return line([*typed, ("   enter keeps it, esc drops it", DIM)], width, look, end)
    spans: list[Span] = [(" ", "")]
    if interface.filter and not end:
        end = [(f" filter: {interface.filter} ", NOTICE), (" ", "")]
    if interface.mode is Mode.TABLES:
        spans += [(look.keys, KEY), (" select", DIM)]
    if interface.mode is Mode.WRITE:
        spans += [("write  ", NOTICE), (" ", "")]
    used = sum(len(text) for text, _ in (*spans, *end))
    for binding in _in_footer(BINDINGS[interface.mode], width - used):
        gap = "  " if spans[-1][1] == DIM else ""
        used += len(gap) + len(binding.shown) + len(binding.short) + 1
        if used > width:
            break
        spans += [(f"{gap}{binding.shown}", KEY), (f" {binding.short}", DIM)]
    return line(spans, width, look, end)


def _in_footer(bindings: Sequence[Binding], room: int) -> list[Binding]:
    """Those that there is room for; the last two, help and the way out, before others."""
    shown = [binding for binding in bindings if binding.short]
    while len(shown) > 2 and sum(len(one.shown) + len(one.short) + 3 for one in shown) > room:
        del shown[-3]
    return shown


def _too_small(scene: Scene, width: int, height: int) -> list[Text]:
    words = line([(f"{LEAST_WIDTH}x{LEAST_HEIGHT} at least, please", "")], width, scene.look)
    return [words, *(blank(width) for _ in range(height - 1))][:height]

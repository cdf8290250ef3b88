"""A panel's table: as many rows as there is room for, the cursor among them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text

from loophound.dashboards.top.look import DIM, FOCUSED_FRAME, SELECTED, STRONG, Look, Span, box, fit, line, meter
from loophound.dashboards.top.panels import PANELS, SHARE_STYLE, Column, Item, Panel
from loophound.dashboards.top.views.scene import Scene

GAP = 2


def table(scene: Scene, panel: Panel, width: int, height: int, *, tabs: bool = False) -> list[Text]:
    """The panel in its frame; with `tabs`, the other panels are named in the edge."""
    look, interface = scene.look, scene.interface
    focused = interface.focus == panel.name
    items = interface.listing(panel)
    inner = width - 4
    columns = _columns(panel, inner)
    lines = [_headings(scene, panel, columns, inner)]
    if items:
        lines += _rows(scene, panel, items, columns, inner, height - 3, focused=focused)
    else:
        lines.append(line([(_nothing(scene, panel), DIM)], inner, look))
    return box(lines, width, height, look, _title(scene, panel, tabs), _note(scene, panel, items), focused=focused)


def _nothing(scene: Scene, panel: Panel) -> str:
    return f"nothing here contains {scene.interface.filter!r}" if scene.interface.filter else panel.empty


def _title(scene: Scene, panel: Panel, tabs: bool) -> list[Span]:
    if not tabs:
        return [(panel.name, f"bold {FOCUSED_FRAME}" if scene.interface.focus == panel.name else STRONG)]
    spans: list[Span] = []
    for name in PANELS:
        spans += [(" ", "")] if spans else []
        spans.append((f" {name} ", f"bold black on {FOCUSED_FRAME}") if name == panel.name else (f" {name} ", DIM))
    return spans


def _note(scene: Scene, panel: Panel, items: Sequence[Item]) -> str:
    known = len(panel.items(scene.board))
    if panel.name == "tasks":
        total = sum(worker.tasks for worker in scene.board.workers)
        known = max(known, total)
    shown = len(items)
    return f"{shown:,} of {known:,}" if shown != known else f"{known:,}" if known else ""


def _columns(panel: Panel, inner: int) -> list[tuple[Column, int]]:
    """The columns that fit, with their widths; those without one share the room that is left."""
    wanted = [column for column in panel.columns if inner + 4 >= column.least]
    free = inner - sum(column.width for column in wanted) - GAP * (len(wanted) - 1)
    flexible = [column for column in wanted if not column.width]
    made = []
    for column in wanted:
        width = column.width
        if not width:
            width = max(1, free // len(flexible))
            free -= width
            flexible.pop()
        made.append((column, width))
    return made


def _headings(scene: Scene, panel: Panel, columns: list[tuple[Column, int]], inner: int) -> Text:
    look = scene.look
    sorted_by = scene.interface.orders[panel.name]
    spans: list[Span] = []
    for column, width in columns:
        chosen = column.title == sorted_by
        title = "" if column.title == "share" else f"{look.falling}{column.title}" if chosen else column.title
        spans += [(" " * GAP, "")] if spans else []
        spans.append((fit(title, width, look, right=column.right), f"bold {FOCUSED_FRAME}" if chosen else DIM))
    return line(spans, inner, look)


def _rows(
    scene: Scene, panel: Panel, items: list[Item], columns: list[tuple[Column, int]], inner: int, room: int,
    *, focused: bool,
) -> list[Text]:  # fmt: skip
    cursor = scene.interface.row(panel, items)
    first = min(max(0, cursor - room // 2), max(0, len(items) - room))
    whole = sum(panel.share(item) for item in items) if panel.share is not None else 0.0
    made = []
    for number, item in enumerate(items[first : first + room], first):
        share = panel.share(item) / whole if panel.share is not None and whole else 0.0
        row = line(_cells(scene, item, columns, share), inner, scene.look)
        if focused and number == cursor:
            row = Text(row.plain, SELECTED, no_wrap=True, end="")
        made.append(row)
    return made


def _cells(scene: Scene, item: Item, columns: list[tuple[Column, int]], share: float) -> list[Span]:
    look: Look = scene.look
    spans: list[Span] = []
    for column, width in columns:
        spans += [(" " * GAP, "")] if spans else []
        if column.title == "share":
            spans += meter(share, width - 5, look, SHARE_STYLE)
            spans.append((f"{share:5.0%}", DIM))
            continue
        text, style = column.cell(item, scene.now_s)
        if column.place and cell_len(text) > width:
            text = text.partition(" in ")[0]
        spans.append((fit(text, width, look, right=column.right), style))
    return spans

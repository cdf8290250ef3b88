"""What the dashboard looks like: glyphs with and without Unicode, styles, lines of a fixed width."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from loophound.dashboards.wording import safe

Span: TypeAlias = tuple[str, str]  # a text and its style

# ANSI colours, so that the reader's own theme holds; each says something that words or shapes say too.
ACCENT = "cyan"
KEY = "bold cyan"
STRONG = "bold"
DIM = "bright_black"
GOOD = "green"
WARN = "yellow"
BAD = "red"
ALARM = "bold bright_white on red"
NOTICE = "bold black on yellow"
SELECTED = "bold black on cyan"
FRAME = "bright_black"
FOCUSED_FRAME = "cyan"

LEAST_BESIDE = 10  # columns that are left of a line beside its end

LOWEST_LAG_S, HIGHEST_LAG_S = 0.001, 2.0  # the ends of a chart's logarithmic scale


@dataclass(frozen=True, slots=True)
class Look:
    """The glyphs, and whether a colour can be told at all."""

    levels: str  # of a chart, the lowest first
    gap: str
    full: str
    empty: str
    corners: str  # upper left, upper right, lower left, lower right
    across: str
    down: str
    dot: str
    more: str
    arrow: str
    falling: str  # marks the column that is sorted by
    live: str
    ring: str
    keys: str
    unicode: bool

    def plain(self, text: str) -> str:
        """The text in glyphs that the terminal has, and nothing in it that a terminal would obey."""
        if not text.isprintable():
            text = safe(text, len(text))
        return text if self.unicode or text.isascii() else text.translate(_ASCII).encode("ascii", "replace").decode()


UNICODE = Look("▁▂▃▄▅▆▇█", " ", "━", "─", "╭╮╰╯", "─", "│", "·", "…", "▶", "▾", "●", "○", "↑↓", True)
ASCII = Look("_.:-=+*#", " ", "=", "-", "++++", "-", "|", "|", "~", ">", "v", "*", "o", "arrows", False)
_ASCII = str.maketrans(
    {"·": "|", "…": "~", "█": "#", "░": ".", "→": ">", "▶": ">", "●": "*", "○": "o", "─": "-", "↑": "^", "↓": "v"}
)


def fit(text: str, width: int, look: Look, *, right: bool = False) -> str:
    """The text cut or filled to that many columns; what is cut ends with a mark."""
    text = look.plain(text)
    length = len(text) if text.isascii() else cell_len(text)
    if length > width:
        return set_cell_size(text, width - 1) + look.more if width > 1 else look.more[:width]
    return " " * (width - length) + text if right else text + " " * (width - length)


def line(spans: Iterable[Span], width: int, look: Look, end: Sequence[Span] = ()) -> Text:
    """One line of exactly `width` columns; `end` stands at its right edge, and the rest gives way to it."""
    made, ending = _text(spans, look), _text(end, look)
    room = width - ending.cell_len
    if room < LEAST_BESIDE:
        room, ending = width, Text(end="")
    if made.cell_len > room - bool(ending):
        made.truncate(max(0, room - 1 - bool(ending)))
        made.append(look.more[:room])
    made.append(" " * (room - made.cell_len))
    made.append_text(ending)
    return made


def _text(spans: Iterable[Span], look: Look) -> Text:
    made = Text(no_wrap=True, end="")
    for text, style in spans:
        made.append(look.plain(text), style)
    return made


def blank(width: int) -> Text:
    return Text(" " * width, no_wrap=True, end="")


def box(
    lines: Sequence[Text],
    width: int,
    height: int,
    look: Look,
    title: Sequence[Span],
    note: str = "",
    *,
    focused: bool = False,
) -> list[Text]:
    """Lines in a frame: a title in its upper edge, a note at its right."""  # fmt: skip
    style = FOCUSED_FRAME if focused else FRAME
    upper_left, upper_right, lower_left, lower_right = tuple(look.corners)
    head = Text(no_wrap=True, end="")
    head.append(f"{upper_left}{look.across} ", style)
    room = width - 5
    for text, own in title:
        text = look.plain(text)
        if cell_len(text) > room:
            text = fit(text, room, look) if room > 0 else ""
        room -= cell_len(text)
        head.append(text, own or style)
    head.append(" ", style)
    note = look.plain(note)
    rest = width - head.cell_len - 1
    if note and cell_len(note) + 3 <= rest:
        head.append(look.across * (rest - cell_len(note) - 3), style)
        head.append(f" {note} ", DIM)
        head.append(look.across, style)
    else:
        head.append(look.across * rest, style)
    head.append(upper_right, style)
    inner = [_framed(one, look, style) for one in lines[: height - 2]]
    inner += [_framed(blank(width - 4), look, style) for _ in range(height - 2 - len(inner))]
    foot = _text([(f"{lower_left}{look.across * (width - 2)}{lower_right}", style)], look)
    return [head, *inner, foot]


def _framed(inside: Text, look: Look, style: str) -> Text:
    made = Text(no_wrap=True, end="")
    made.append(f"{look.down} ", style)
    made.append_text(inside)
    made.append(f" {look.down}", style)
    return made


def beside(left: Sequence[Text], right: Sequence[Text]) -> list[Text]:
    """Two blocks of the same height, next to each other."""
    made = []
    for one, other in zip(left, right, strict=True):
        both = one.copy()
        both.append_text(other)
        made.append(both)
    return made


def level(lag_s: float, levels: int) -> int:
    """How high a lag stands, from 0: logarithmic, for 2 ms and 2 s are both worth telling apart."""
    if lag_s <= LOWEST_LAG_S:
        return 0
    share = math.log(lag_s / LOWEST_LAG_S) / math.log(HIGHEST_LAG_S / LOWEST_LAG_S)
    return min(levels - 1, int(share * levels))


def lag_style(lag_s: float, threshold_s: float) -> str:
    return BAD if lag_s >= threshold_s else WARN if lag_s >= threshold_s / 4 else GOOD


def sparkline(lags: Sequence[float | None], threshold_s: float, look: Look) -> list[Span]:
    spans: list[Span] = []
    for lag_s in lags:
        glyph, style = look.gap, DIM
        if lag_s is not None:
            glyph, style = look.levels[level(lag_s, len(look.levels))], lag_style(lag_s, threshold_s)
        if spans and spans[-1][1] == style:
            spans[-1] = (spans[-1][0] + glyph, style)
        else:
            spans.append((glyph, style))
    return spans


def meter(share: float, width: int, look: Look, style: str = ACCENT) -> list[Span]:
    """A share from 0 to 1 as a bar."""
    filled = min(width, round(share * width)) if share < 0.005 else min(width, max(1, round(share * width)))
    return [(look.full * filled, style), (look.empty * (width - filled), DIM)]


def busy_style(share: float) -> str:
    return BAD if share >= 0.9 else WARN if share >= 0.6 else GOOD

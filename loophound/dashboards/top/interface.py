"""What the reader of the dashboard has chosen: where the cursor stands, what is sorted, filtered, shown."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

from loophound.dashboards.top.board import Board
from loophound.dashboards.top.panels import FIRST_ORDER, PANELS, Column, Item, Panel

MESSAGE_S = 6.0
PAGE = 10
LONGEST_FILTER = 60


class Mode(Enum):
    """What the keys mean just now."""

    TABLES = auto()
    DETAIL = auto()
    HELP = auto()
    FILTER = auto()
    WRITE = auto()


class Action(Enum):
    """What a key asks of the program around."""

    QUIT = auto()
    WRITE_SVG = auto()
    WRITE_HTML = auto()
    WRITE_JSON = auto()


class Chosen(NamedTuple):
    """A row, by its panel and its key there."""

    panel: str
    key: Hashable


@dataclass
class Interface:
    """Keys in, choices out: no clock, no terminal."""

    live: Board
    mode: Mode = Mode.TABLES
    focus: str = "culprits"
    zoomed: bool = False
    orders: dict[str, str] = field(default_factory=lambda: dict(FIRST_ORDER))
    cursors: dict[str, Hashable] = field(default_factory=dict)  # absent: the first row, whichever it is
    rows: dict[str, int] = field(default_factory=dict)  # where each cursor was seen last
    filter: str = ""
    chosen: Chosen | None = None
    scroll: int = 0
    longest_scroll: int = 0  # the views say how far there is something
    paused_s: float | None = None
    frozen: Board | None = None
    _message: str = ""
    _message_until_s: float = 0.0

    @property
    def board(self) -> Board:
        """What to show: while paused, the state of then."""
        return self.live if self.frozen is None else self.frozen

    def now(self, now_s: float) -> float:
        return now_s if self.paused_s is None else self.paused_s

    def say(self, text: str, now_s: float) -> None:
        self._message, self._message_until_s = text, now_s + MESSAGE_S

    def message(self, now_s: float) -> str:
        return self._message if now_s < self._message_until_s else ""

    def order(self, panel: Panel) -> Column:
        name = self.orders[panel.name]
        return next(column for column in panel.columns if column.title == name)

    def listing(self, panel: Panel) -> list[Item]:
        """The rows of a panel, filtered and in order."""
        items = list(panel.items(self.board))
        if self.filter:
            wanted = self.filter.lower()
            items = [item for item in items if wanted in panel.words(item).lower()]
        order = self.order(panel).order
        assert order is not None
        items.sort(key=order, reverse=True)
        return items

    def row(self, panel: Panel, items: list[Item]) -> int:
        """The row under the cursor: it stays with its item, and where that has gone, at its place."""
        if not items:
            return 0
        wanted = self.cursors.get(panel.name)
        if wanted is None:
            return 0
        for row, item in enumerate(items):
            if panel.key(item) == wanted:
                self.rows[panel.name] = row
                return row
        return min(self.rows.get(panel.name, 0), len(items) - 1)

    def item(self) -> Item | None:
        """The row that a detail view is about; None when there is no such row any more."""
        if self.chosen is None:
            return None
        panel = PANELS[self.chosen.panel]
        return next((item for item in panel.items(self.board) if panel.key(item) == self.chosen.key), None)

    def press(self, key: str, now_s: float) -> Action | None:
        """Take a key by its name; characters are their own names."""
        if self.mode is Mode.FILTER:
            self._type(key)
            return None
        binding = BINDINGS_OF[self.mode].get(key)
        if binding is None:
            return None
        return binding.do(self, now_s)

    def _type(self, key: str) -> None:
        if key in ("enter", "down", "up", "tab"):
            self.mode = Mode.TABLES
        elif key == "escape":
            self.filter, self.mode = "", Mode.TABLES
        elif key == "backspace":
            self.filter = self.filter[:-1]
        elif key == "ctrl-u":
            self.filter = ""
        elif len(key) == 1 and key.isprintable() and len(self.filter) < LONGEST_FILTER:
            self.filter += key

    # What keys do

    def _move(self, by: float) -> None:
        panel = PANELS[self.focus]
        items = self.listing(panel)
        if not items:
            return
        row = min(max(self.row(panel, items) + by, 0), len(items) - 1)
        self.rows[self.focus] = int(row)
        if row == 0 and by < 0:
            self.cursors.pop(self.focus, None)  # at the top it stays at the top, whatever comes there
        else:
            self.cursors[self.focus] = panel.key(items[int(row)])

    def _scroll(self, by: float) -> None:
        self.scroll = int(min(max(self.scroll + by, 0), self.longest_scroll))

    def _switch(self, by: float) -> None:
        names = list(PANELS)
        self.focus = names[(names.index(self.focus) + int(by)) % len(names)]

    def _enter(self, now_s: float) -> None:
        panel = PANELS[self.focus]
        items = self.listing(panel)
        if items:
            self.chosen = Chosen(panel.name, panel.key(items[self.row(panel, items)]))
            self.mode, self.scroll = Mode.DETAIL, 0

    def _step(self, by: float) -> None:
        """In a detail view: the row before or after."""
        self._move(by)
        self._enter(0.0)

    def _sort(self, now_s: float) -> None:
        panel = PANELS[self.focus]
        titles = [column.title for column in panel.orders]
        self.orders[self.focus] = titles[(titles.index(self.orders[self.focus]) + 1) % len(titles)]
        self.cursors.pop(self.focus, None)

    def _pause(self, now_s: float) -> None:
        if self.frozen is None:
            self.frozen, self.paused_s = self.live.frozen(), now_s
        else:
            self.frozen = self.paused_s = None

    def _clear(self, now_s: float) -> None:
        self.live.clear()
        self.frozen = self.paused_s = None
        self.cursors.clear()
        self.say("cleared: what is counted from now on is new", now_s)

    def _tasks(self, now_s: float) -> None:
        if self.zoomed and self.focus == "tasks":
            self.zoomed, self.focus = False, "culprits"
        else:
            self.zoomed, self.focus = True, "tasks"

    def _zoom(self, now_s: float) -> None:
        self.zoomed = not self.zoomed

    def _back(self, now_s: float) -> None:
        if self.mode is Mode.DETAIL:
            self.mode, self.chosen = Mode.TABLES, None
        elif self.mode is not Mode.TABLES:
            self._go(self._beneath)
        elif self.filter:
            self.filter = ""
        else:
            self.zoomed = False

    @property
    def _beneath(self) -> Mode:
        """What lies under the help and the question what to write."""
        return Mode.TABLES if self.chosen is None else Mode.DETAIL

    def _go(self, mode: Mode) -> None:
        if Mode.HELP in (mode, self.mode):
            self.scroll = 0
        self.mode = mode


class Binding(NamedTuple):
    """Keys, what the footer and the help call them, and what they do."""

    keys: tuple[str, ...]
    shown: str
    short: str  # empty: not in the footer
    help: str
    do: Callable[[Interface, float], Action | None]


def _by(method: Callable[[Interface, float], None], by: float) -> Callable[[Interface, float], None]:
    return lambda interface, _: method(interface, by)


def _to(mode: Mode) -> Callable[[Interface, float], None]:
    return lambda interface, _: interface._go(mode)


def _asks(action: Action) -> Callable[[Interface, float], Action]:
    def ask(interface: Interface, _: float) -> Action:
        if interface.mode is Mode.WRITE:
            interface._go(interface._beneath)
        return action

    return ask


QUIT = Binding(("q",), "q", "quit", "leave; the server goes on", _asks(Action.QUIT))
HELP = Binding(("?", "h"), "?", "help", "this page", _to(Mode.HELP))
BACK = Binding(("escape", "backspace"), "esc", "back", "back", Interface._back)

BINDINGS: dict[Mode, tuple[Binding, ...]] = {
    Mode.TABLES: (
        Binding(("up", "k"), "↑", "", "the row above", _by(Interface._move, -1)),
        Binding(("down", "j"), "↓", "", "the row below", _by(Interface._move, 1)),
        Binding(("page up",), "PgUp", "", "ten rows up", _by(Interface._move, -PAGE)),
        Binding(("page down",), "PgDn", "", "ten rows down", _by(Interface._move, PAGE)),
        Binding(("home", "g"), "Home", "", "the first row", _by(Interface._move, -math.inf)),
        Binding(("end", "G"), "End", "", "the last row", _by(Interface._move, math.inf)),
        Binding(("enter",), "enter", "detail", "source, stack and profile of the row", Interface._enter),
        Binding(("tab", "right"), "tab", "next", "the next table", _by(Interface._switch, 1)),
        Binding(("shift-tab", "left"), "shift-tab", "", "the table before", _by(Interface._switch, -1)),
        Binding(("s",), "s", "sort", "sort by the next column", Interface._sort),
        Binding(("f", "/"), "f", "filter", "show only rows that contain a text", _to(Mode.FILTER)),
        Binding(("p", " "), "p", "pause", "hold the picture; the server goes on", Interface._pause),
        Binding(("c",), "c", "clear", "forget stalls and calls, and count anew", Interface._clear),
        Binding(("t",), "t", "tasks", "the tasks alone, and back", Interface._tasks),
        Binding(("z",), "z", "zoom", "one table alone, and back", Interface._zoom),
        Binding(("w",), "w", "write", "write a report: SVG, HTML or JSON", _to(Mode.WRITE)),
        HELP,
        QUIT,
        Binding(BACK.keys, "esc", "", "drop the filter; leave a view", BACK.do),
    ),
    Mode.DETAIL: (
        Binding(("up", "k"), "↑", "", "scroll up", _by(Interface._scroll, -1)),
        Binding(("down", "j"), "↓", "", "scroll down", _by(Interface._scroll, 1)),
        Binding(("page up",), "PgUp", "", "a page up", _by(Interface._scroll, -PAGE)),
        Binding(("page down", " "), "PgDn", "", "a page down", _by(Interface._scroll, PAGE)),
        Binding(("home", "g"), "Home", "", "the beginning", _by(Interface._scroll, -math.inf)),
        Binding(("end", "G"), "End", "", "the end", _by(Interface._scroll, math.inf)),
        Binding(("left",), "←", "", "the row before", _by(Interface._step, -1)),
        Binding(("right", "tab"), "→", "next", "the next row", _by(Interface._step, 1)),
        Binding(BACK.keys, "esc", "back", "back to the tables", BACK.do),
        Binding(("p",), "p", "pause", "hold the picture", Interface._pause),
        Binding(("w",), "w", "write", "write a report: SVG, HTML or JSON", _to(Mode.WRITE)),
        HELP,
        QUIT,
    ),
    Mode.HELP: (
        Binding(("up", "k"), "↑", "", "scroll up", _by(Interface._scroll, -1)),
        Binding(("down", "j"), "↓", "", "scroll down", _by(Interface._scroll, 1)),
        Binding(("escape", "backspace", "?", "h", "enter"), "esc", "back", "back", BACK.do),
        QUIT,
    ),
    Mode.FILTER: (),  # each character is a part of the filter
    Mode.WRITE: (
        Binding(("s",), "s", "SVG, this screen as a picture", "", _asks(Action.WRITE_SVG)),
        Binding(("h",), "h", "HTML, a page on all stalls", "", _asks(Action.WRITE_HTML)),
        Binding(("j",), "j", "JSON, all figures", "", _asks(Action.WRITE_JSON)),
        Binding(BACK.keys, "esc", "back", "", BACK.do),
    ),
}
BINDINGS_OF = {
    mode: {key: binding for binding in bindings for key in binding.keys} for mode, bindings in BINDINGS.items()
}

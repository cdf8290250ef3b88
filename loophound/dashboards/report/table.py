"""The groups as a table: for a terminal by rich, else as aligned lines that tools can cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from loophound.dashboards.report.rows import ago, local, row
from loophound.dashboards.terminal import colour
from loophound.dashboards.wording import count, duration
from loophound.ledger.compare import Change, Verdict
from loophound.ledger.groups import Group

NUMBERS = ("count", "total", "worst", "p50", "p99", "victims")
WIDE = 100  # columns from which there is room for all of NUMBERS
VERDICT_COLOURS = {Verdict.NEW: "red", Verdict.WORSE: "red", Verdict.BETTER: "green", Verdict.GONE: "green"}


def summary(groups: Sequence[Group]) -> str:
    """`3 groups, 24 stalls, 7.31 s in all`."""
    stalls = sum(group.count for group in groups)
    total_s = sum(group.total_s for group in groups)
    return f"{count(len(groups), 'group', 'groups')}, {count(stalls, 'stall', 'stalls')}, {duration(total_s)} in all"


def table(groups: Sequence[Group], now_s: float, width: int) -> RenderableType:
    """One line a group for a terminal of that many columns."""
    numbers = NUMBERS if width >= WIDE else NUMBERS[:3]
    made = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    made.add_column("id", no_wrap=True)
    made.add_column("where", overflow="fold", ratio=1)
    made.add_column("cause", no_wrap=True)
    for name in numbers:
        made.add_column(name, justify="right", no_wrap=True)
    made.add_column("last seen", justify="right", no_wrap=True)
    for group in groups:
        told = row(group, lambda at_s: ago(at_s, now_s))
        made.add_row(
            Text(told.id, "dim"), Text(told.where, colour(group.latest)), told.cause,
            *(getattr(told, name) for name in numbers), told.last,
        )  # fmt: skip
    return made


def lines(groups: Sequence[Group], when: Callable[[float], str] = local) -> str:
    """The same as text: the place stands last, as it may have spaces in it."""
    columns = ("id", "cause", *NUMBERS, "last", "where")
    rows = [row(group, when) for group in groups]
    return _aligned([columns, *([getattr(one, name) for name in columns] for one in rows)], right=range(2, 8))


def changes_table(changes: Sequence[Change]) -> RenderableType:
    """What became of each group, for a terminal."""
    made = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for name, justify in _CHANGE_COLUMNS:
        made.add_column(name, justify=justify, overflow="fold", no_wrap=name != "where")  # type: ignore[arg-type]
    for change in changes:
        verdict, *cells = _change_cells(change)
        made.add_row(Text(verdict, VERDICT_COLOURS.get(change.verdict, "dim")), *map(Text, cells))
    return made


def changes_lines(changes: Sequence[Change]) -> str:
    """The same as text."""
    head = tuple(name for name, _ in _CHANGE_COLUMNS)
    return _aligned([head, *map(_change_cells, changes)], right=range(3, 6))


_CHANGE_COLUMNS = (
    ("change", "left"), ("id", "left"), ("cause", "left"), ("count", "right"), ("total", "right"), ("p50", "right"),
    ("where", "left"),
)  # fmt: skip


def _change_cells(change: Change) -> tuple[str, ...]:
    told = row(change.group, local)
    known = [row(group, local) for group in (change.before, change.now) if group is not None]
    pairs = (" -> ".join(getattr(one, name) for one in known) for name in ("count", "total", "p50"))
    return (change.verdict.value, told.id, told.cause, *pairs, told.where)


def _aligned(rows: Sequence[Sequence[str]], right: range) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()
        for cells in rows
    )

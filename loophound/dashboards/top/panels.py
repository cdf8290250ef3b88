"""The panels with tables in them, as data: what their rows are, which columns they have, how they are sorted."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from loophound.dashboards.top.board import Board
from loophound.dashboards.top.look import ACCENT, BAD, DIM, GOOD, STRONG, WARN, Span
from loophound.dashboards.top.words import ago, amount, short_time
from loophound.dashboards.wording import place, safe

Item = Any  # a Culprit, FlaggedCall, Route, TaskLine or Executor: each panel knows its own
Cell = Callable[[Item, float], Span]
TASK_STATES = {"running": BAD, "ready": WARN, "waiting": DIM}


@dataclass(frozen=True, slots=True)
class Column:
    """`width` 0 takes the room that is left; `least` is the panel's width from which it is shown.

    Of a `place` that is too long, `app.py:44 in show`, the line alone is shown.
    """

    title: str
    width: int
    cell: Cell
    order: Callable[[Item], Any] | None = None  # the largest first
    right: bool = True
    least: int = 0
    place: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """A table: `items` reads the board, `words` is what a filter is held against."""

    name: str
    items: Callable[[Board], Sequence[Item]]
    key: Callable[[Item], Hashable]
    words: Callable[[Item], str]
    columns: tuple[Column, ...]
    empty: str
    share: Callable[[Item], float] | None = None  # of all items' sum, drawn as a bar

    @property
    def orders(self) -> list[Column]:
        return [column for column in self.columns if column.order is not None]


def _last(item: Item, now_s: float) -> Span:
    if getattr(item, "ongoing", False):
        return "now", f"bold {BAD}"
    age_s = now_s - item.last_s
    return ago(age_s), STRONG if age_s < 5 else ""


def _short_last(item: Item, now_s: float) -> Span:
    text, style = _last(item, now_s)
    return text.removesuffix(" ago"), style


def _times(value_s: float | None, bad_s: float = math.inf) -> Span:
    return short_time(value_s), BAD if value_s is not None and value_s >= bad_s else ""


def _none_is_least(value: float | None) -> float:
    return -1.0 if value is None else value


def _count(number: int, style: str = "") -> Span:
    return (amount(number), style) if number else ("-", DIM)


CULPRITS = Panel(
    "culprits",
    items=lambda board: list(board.culprits.values()),
    key=lambda item: item.fingerprint,
    words=lambda item: f"{item.where} {item.cause} {item.place.file if item.place else ''}",
    columns=(
        Column("culprit", 0, lambda i, _: (i.where, f"bold {WARN if i.innocent else BAD}"), right=False),
        Column("cause", 10, lambda i, _: (safe(i.cause, 10), ""), right=False),
        Column("count", 6, lambda i, _: (amount(i.count), ""), lambda i: i.count),
        Column("total", 8, lambda i, _: (short_time(i.total_s), STRONG), lambda i: i.total_s),
        Column("share", 13, lambda i, _: ("", ""), least=104),
        Column("worst", 8, lambda i, _: (short_time(i.worst_s), ""), lambda i: i.worst_s),
        Column("victims", 8, lambda i, _: _count(i.victims), lambda i: i.victims, least=86),
        Column("last", 10, _last, lambda i: i.last_s),
    ),
    empty="nobody has blocked the loop",
    share=lambda item: item.total_s,
)

CALLS = Panel(
    "calls",
    items=lambda board: list(board.calls.values()),
    key=lambda item: (item.call, item.caller),
    words=lambda item: f"{item.call} {place(item.caller) if item.caller else ''}",
    columns=(
        Column("call", 22, lambda i, _: (safe(i.call, 60), f"bold {WARN}"), right=False),
        Column("caller", 0, lambda i, _: (place(i.caller) if i.caller else "-", ""), right=False, place=True),
        Column("count", 6, lambda i, _: (amount(i.count), ""), lambda i: i.count),
        Column("worst", 8, lambda i, _: (short_time(i.worst_s), ""), lambda i: i.worst_s, least=64),
        Column("last", 7, _short_last, lambda i: i.last_s),
    ),
    empty="no synchronous call is flagged",
)

ROUTES = Panel(
    "routes",
    items=lambda board: board.routes(),
    key=lambda item: item.route,
    words=lambda item: item.route,
    columns=(
        Column("route", 0, lambda i, _: (safe(i.route), STRONG), right=False),
        Column("held", 8, lambda i, _: (short_time(i.held_s), BAD) if i.held_s else ("-", DIM), lambda i: i.held_s),
        Column("stalls", 7, lambda i, _: _count(i.stalls, BAD), lambda i: i.stalls),
        Column("p99", 8, lambda i, _: _times(i.p99_s if i.count else None), lambda i: _none_is_least(i.p99_s)),
        Column(
            "p50", 8, lambda i, _: _times(i.p50_s if i.count else None), lambda i: _none_is_least(i.p50_s), least=66
        ),
        Column(
            "max", 8, lambda i, _: _times(i.max_s if i.count else None), lambda i: _none_is_least(i.max_s), least=74
        ),
        Column("count", 7, lambda i, _: _count(i.count), lambda i: i.count, least=64),
    ),
    empty="no request yet",
)

TASKS = Panel(
    "tasks",
    items=lambda board: board.tasks(),
    key=lambda item: (item.worker, item.name),
    words=lambda item: f"{item.name} {item.coro} {item.state} {item.where}",
    columns=(
        Column("task", 14, lambda i, _: (safe(i.name, 40), ""), right=False, least=76),
        Column("coroutine", 0, lambda i, _: (safe(i.coro, 80), STRONG), right=False),
        Column(
            "state", 8, lambda i, _: (safe(i.state, 8), TASK_STATES.get(i.state, "")), lambda i: i.state, right=False
        ),
        Column("age", 8, lambda i, _: _times(i.age_s), lambda i: _none_is_least(i.age_s)),
        Column("where", 0, lambda i, _: (safe(i.where), ""), right=False, place=True),
    ),
    empty="no task",
)

EXECUTORS = Panel(
    "executors",
    items=lambda board: board.executors(),
    key=lambda item: (item.worker, item.name),
    words=lambda item: f"{item.name} {item.kind}",
    columns=(
        Column("executor", 0, lambda i, _: (safe(i.name, 40), STRONG), right=False),
        Column("kind", 11, lambda i, _: (safe(i.kind, 11), ""), right=False, least=112),
        Column("worker", 6, lambda i, _: (str(i.worker), DIM), least=70),
        Column("queued", 7, lambda i, _: _count(i.queued, WARN), lambda i: i.queued),
        Column("running", 8, lambda i, _: _count(i.running, GOOD), lambda i: i.running),
        Column("rejected", 9, lambda i, _: _count(i.rejected, BAD), lambda i: i.rejected),
        Column("wait p50", 9, lambda i, _: _times(i.wait_p50_s), lambda i: _none_is_least(i.wait_p50_s), least=106),
        Column("wait p99", 9, lambda i, _: _times(i.wait_p99_s), lambda i: _none_is_least(i.wait_p99_s), least=58),
        Column("run p50", 8, lambda i, _: _times(i.run_p50_s), lambda i: _none_is_least(i.run_p50_s), least=96),
        Column("run p99", 8, lambda i, _: _times(i.run_p99_s), lambda i: _none_is_least(i.run_p99_s), least=72),
        Column(
            "calls",
            7,
            lambda i, _: ("-", DIM) if i.calls is None else (amount(i.calls), ""),
            lambda i: -1 if i.calls is None else i.calls,
            least=88,
        ),
    ),
    empty="nothing is offloaded",
)

PANELS = {panel.name: panel for panel in (CULPRITS, CALLS, ROUTES, TASKS, EXECUTORS)}
FIRST_ORDER = {"culprits": "total", "calls": "last", "routes": "held", "tasks": "age", "executors": "queued"}
SHARE_STYLE = ACCENT

"""What the console answers, as text. Fed by the faces' threads, asked by the console's."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import loophound
from loophound.dashboards import layout
from loophound.dashboards.account import account, subject
from loophound.dashboards.stacks import shorten
from loophound.dashboards.top.board import Board
from loophound.dashboards.top.interface import Interface
from loophound.dashboards.top.panels import CALLS, CULPRITS, EXECUTORS, Panel
from loophound.dashboards.top.words import ago, short_time
from loophound.dashboards.wording import request, safe
from loophound.detector.records import BlockingCall, Snapshot, Stall
from loophound.source import SourceLines
from loophound.times import now_iso

MOST_LISTED = 20
NO_STALL = "no stalls yet"


class Answers:
    """`snapshots` and `executors` ask the process how its loops and its offloading do; `ping_s` how long a
    loop takes to answer just now, None when it does not.
    """

    def __init__(
        self,
        snapshots: Callable[[], Sequence[Snapshot]] = tuple,
        executors: Callable[[], Sequence[Mapping[str, Any]]] = tuple,
        ping_s: Callable[[], float | None] = lambda: None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._snapshots, self._executors, self._ping_s = snapshots, executors, ping_s
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._sources = SourceLines()
        self._board = Board()
        self._interface = Interface(self._board)
        self._feed({"type": "hello", "server": str(os.getpid()), "version": loophound.__version__, "now": now_iso(),
                    "started_at": now_iso()})  # fmt: skip

    # On the faces' threads

    def take_stall(self, stall: Stall) -> None:
        self._feed({"type": "stall", "stall": stall.to_dict()})

    def take_call(self, call: BlockingCall) -> None:
        self._feed({"type": "call", "call": call.to_dict()})

    def _feed(self, message: Mapping[str, Any]) -> None:
        with self._lock:
            self._board.feed(message, self._monotonic())

    # On the console's thread

    def stalls(self) -> str:
        """The latest, oldest first, so that the newest stands above the prompt."""
        with self._lock:
            known = list(self._board.stalls.values())
            rows = [self._stall_row(stall) for stall in known[-MOST_LISTED:]]
        if not rows:
            return NO_STALL
        more = [f"{len(known) - len(rows)} before them"] if len(known) > len(rows) else []
        return "\n".join([*aligned([("id", "when", "lasted", "cause", "culprit", "request"), *rows], {2}), *more])

    def _stall_row(self, stall: Stall) -> tuple[str, ...]:
        age = ago(self._monotonic() - self._board.wall(stall.at))
        lasted = short_time(stall.duration_s) + ("+" if stall.ongoing else "")
        return (safe(stall.id, 40), age, lasted, stall.cause.value, subject(stall), request(stall) or "-")

    def stall(self, id: str) -> str:
        """One in full; the first characters of its id will do."""
        with self._lock:
            found = [stall for name, stall in self._board.stalls.items() if id and name.startswith(id)]
        if len(found) == 1:
            told = layout.plain(account(found[0], self._sources)).splitlines()
            stack = [f"    {line}" for line in shorten(found[0].stack)]
            return "\n".join([*(line for line in told if not line.startswith("  stack: ")), "  stack:", *stack])
        known = ", ".join(safe(stall.id, 40) for stall in found[:MOST_LISTED])
        return f"{len(found)} stalls have an id that begins with {safe(id)!r}: {known or 'see `stalls`'}"

    def culprits(self) -> str:
        return self._table(CULPRITS, NO_STALL)

    def calls(self) -> str:
        return self._table(CALLS, "no synchronous call was flagged")

    def lag(self) -> str:
        """How each loop has done, and how the served one does now."""
        rows = [
            (safe(one.thread, 40), one.loop, short_time(one.lag_p50_s), short_time(one.lag_p99_s),
             short_time(one.lag_max_s), f"{one.utilisation:.0%}", short_time(one.watched_s))
            for one in self._snapshots()
        ]  # fmt: skip
        now_s = self._ping_s()
        now = "it does not answer just now: blocked" if now_s is None else f"it answers after {short_time(now_s)} now"
        head = ("thread", "loop", "p50", "p99", "max", "busy", "watched")
        return "\n".join([*(aligned([head, *rows], {2, 3, 4, 5, 6}) if rows else ["no loop is watched"]), now])

    def offload(self) -> str:
        message = {"type": "snapshot", "worker": 0, "pid": os.getpid(), "executors": list(self._executors())}
        self._feed(message)
        return self._table(EXECUTORS, "nothing is offloaded")

    def _table(self, panel: Panel, empty: str) -> str:
        now_s = self._monotonic()
        columns = [column for column in panel.columns if column.title != "share"]
        with self._lock:
            items = self._interface.listing(panel)[:MOST_LISTED]
            rows = [tuple(column.cell(item, now_s)[0] for column in columns) for item in items]
        right = {number for number, column in enumerate(columns) if column.right}
        head = tuple(column.title for column in columns)
        return "\n".join(aligned([head, *rows], right)) if rows else empty


def aligned(rows: Sequence[Sequence[str]], right: set[int]) -> list[str]:
    """Lines with their columns one below the other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]

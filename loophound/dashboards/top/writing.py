"""The reports that `w` writes, into the working directory."""

from __future__ import annotations

import io
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from loophound.dashboards.report import data
from loophound.dashboards.report.page import page
from loophound.dashboards.top.board import Board
from loophound.dashboards.top.interface import Action
from loophound.dashboards.top.views.frame import frame
from loophound.dashboards.wording import safe
from loophound.ledger.groups import Groups
from loophound.source import SourceLines

if TYPE_CHECKING:
    from loophound.dashboards.top.app import Dashboard

ENDINGS = {Action.WRITE_SVG: "svg", Action.WRITE_HTML: "html", Action.WRITE_JSON: "json"}
# A dark theme in which every colour can be read: contrast with the ground is at least 4.5 (WCAG 2.2, 1.4.3).
THEME = TerminalTheme(
    (22, 24, 33),
    (198, 200, 209),
    [(22, 24, 33), (226, 105, 120), (158, 206, 106), (226, 180, 110), (122, 162, 247), (187, 154, 247), (100, 200, 215),
     (198, 200, 209)],
    [(124, 130, 155), (247, 118, 142), (180, 220, 130), (240, 200, 130), (140, 180, 255), (200, 170, 255),
     (140, 220, 235), (255, 255, 255)],
)  # fmt: skip


def write_report(action: Action, dashboard: Dashboard, size: tuple[int, int]) -> str:
    """Write it, and say where it is, or why it is not."""
    name = f"loophound-{time.strftime('%Y%m%d-%H%M%S')}.{ENDINGS[action]}"
    try:
        if action is Action.WRITE_SVG:
            text = picture(frame(dashboard.scene(), *size), size[0], "loophound top")
        elif action is Action.WRITE_HTML:
            text = page(_source(dashboard.board), list(groups_of(dashboard.board)), SourceLines(), time.time())
        else:
            text = json.dumps(document(dashboard.board), indent=2)
        Path(name).write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        return f"cannot write {name}: {(error.strerror or str(error)).lower()}"
    return f"wrote {safe(os.path.join(os.getcwd(), name))}"


def picture(lines: list[Text], width: int, title: str) -> str:
    """A screen as SVG."""
    console = Console(record=True, file=io.StringIO(), width=width, force_terminal=True, color_system="truecolor")
    for one in lines:
        console.print(one, end="\n", no_wrap=True, overflow="ignore", crop=False, highlight=False)
    return console.export_svg(title=title, theme=THEME)


def groups_of(board: Board) -> Groups:
    """The stalls that this dashboard has seen, grouped as `loophound report` does."""
    groups = Groups()
    for stall in board.stalls.values():
        groups.add(stall)
    return groups


def document(board: Board) -> dict[str, Any]:
    """The report's JSON, and what the dashboard shows besides."""
    server = board.server
    return {
        **data.report(_source(board), groups_of(board), full=True),
        "server": None if server is None else {"app": server.app, "server": server.name, "version": server.version,
                                               "addresses": list(server.addresses), "started_at": server.started_at},
        "loops": [
            {"worker": loop.worker, "pid": loop.pid, "thread": loop.thread, "loop": loop.kind,
             "state": loop.state.value, "lag_p50_s": loop.p50_s, "lag_p99_s": loop.p99_s, "lag_max_s": loop.max_s,
             "utilisation": loop.utilisation}
            for loop in board.loops()
        ],
        "totals": [
            {"fingerprint": one.fingerprint, "cause": one.cause, "where": one.where, "count": one.count,
             "total_s": round(one.total_s, 6), "worst_s": one.worst_s, "victims": one.victims}
            for one in board.culprits.values()
        ],
        "calls": [
            {"call": one.call, "caller": None if one.caller is None else
             {"file": one.caller.file, "line": one.caller.line, "function": one.caller.function},
             "count": one.count, "total_s": round(one.total_s, 6), "worst_s": one.worst_s, "remedy": one.remedy}
            for one in board.calls.values()
        ],
    }  # fmt: skip


def _source(board: Board) -> str:
    server = board.server
    return "loophound top" if server is None else f"{server.app}, process {server.name}"

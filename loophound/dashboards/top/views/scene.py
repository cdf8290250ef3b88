"""What every view is drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from loophound.dashboards.top.board import Board
from loophound.dashboards.top.interface import Interface
from loophound.dashboards.top.look import Look
from loophound.source import SourceLines

FALLBACK_THRESHOLD_S = 0.1


@dataclass(frozen=True, slots=True)
class Scene:
    """State, choices and time; `link` is empty while the feed is read, else what hinders it."""

    board: Board
    interface: Interface
    look: Look
    sources: SourceLines
    now_s: float  # while paused, the moment of then
    real_now_s: float
    link: str = ""
    log: Sequence[str] | None = None  # the server's, where this dashboard stands in its terminal

    @property
    def threshold_s(self) -> float:
        server = self.board.server
        return server.threshold_s if server is not None else FALLBACK_THRESHOLD_S

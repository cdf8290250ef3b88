"""The dashboard at work: feed and keys in, frames out. It waits in one place, and draws when there is a reason."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from loophound.dashboards.top.board import Board, Message
from loophound.dashboards.top.interface import Action, Interface
from loophound.dashboards.top.look import Look
from loophound.dashboards.top.terminal import Terminal
from loophound.dashboards.top.views.frame import frame
from loophound.dashboards.top.views.scene import Scene
from loophound.dashboards.top.words import clock
from loophound.dashboards.top.writing import write_report
from loophound.source import SourceLines

CALM_S = 0.5  # between frames when nothing happens …
TROUBLE_S = 0.2  # … and while a loop is blocked and its clock runs
SOONEST_S = 0.1  # after the last frame, for news; keys are answered at once
AWAY_S = 0.25  # between looks for a feed that is not there
NEWS = frozenset({"hello", "worker", "stall", "connected", "disconnected"})


class Feed(Protocol):
    """What the dashboard needs of a reader; loophound.dashboards.feed has one."""

    @property
    def connected(self) -> bool: ...

    def fileno(self) -> int: ...

    def read(self, timeout_s: float | None = None) -> Sequence[Message]: ...


class Log(Protocol):
    """The server's log, where the dashboard stands in its terminal."""

    @property
    def lines(self) -> Sequence[str]: ...

    def fileno(self) -> int: ...

    def read(self) -> bool:
        """Take what has come; False when the server has ended."""


class Dashboard:
    """What is known and what is chosen, kept up to date from one feed."""

    def __init__(self, feed: Feed, look: Look, *, log: Log | None = None,
                 monotonic: Callable[[], float] = time.monotonic) -> None:  # fmt: skip
        self.board = Board()
        self.interface = Interface(self.board)
        self.feed = feed
        self.now_s = monotonic
        self._look = look
        self._log = log
        self._sources = SourceLines()
        self._lost_s: float | None = None

    def read(self, timeout_s: float = 0.0) -> bool:
        """Take what the feed has sent; whether there is something in it that should be seen soon."""
        before = self._trouble()
        messages = self.feed.read(timeout_s)
        for message in messages:
            self._take(message, self.now_s())
        return self._trouble() != before or any(message.get("type") in NEWS for message in messages)

    @property
    def in_trouble(self) -> bool:
        return any(self._trouble()) or self._lost_s is not None

    def scene(self) -> Scene:
        now_s = self.now_s()
        return Scene(
            board=self.interface.board,
            interface=self.interface,
            look=self._look,
            sources=self._sources,
            now_s=self.interface.now(now_s),
            real_now_s=now_s,
            link=f"gone for {clock(now_s - self._lost_s)}, looking for it" if self._lost_s is not None else "",
            log=None if self._log is None else self._log.lines,
        )

    def _take(self, message: Message, now_s: float) -> None:
        kind, known = message.get("type"), self.board.server
        self.board.feed(message, now_s)
        if kind == "disconnected":
            self._lost_s = now_s
        server = self.board.server
        if kind == "hello" and self._lost_s is not None and known is not None and server is not None:
            again = server.started_at == known.started_at
            self.interface.say("connected again" if again else f"a new process serves: {server.name}", now_s)
        if kind == "hello":
            self._lost_s = None

    def _trouble(self) -> list[bool]:
        return [loop.state.is_trouble for loop in self.board.loops()]


def run(dashboard: Dashboard, terminal: Terminal, log: Log | None = None, others: Sequence[int] = ()) -> None:
    """Show it until `q`, or until the log ends. Whatever comes from the `others` makes the log be read as well.

    The terminal must have been entered.
    """
    drawn_s, soon = 0.0, True
    log_descriptors = [] if log is None else [log.fileno(), *others]
    while True:
        now_s = dashboard.now_s()
        pause_s = SOONEST_S if soon else TROUBLE_S if dashboard.in_trouble else CALM_S
        if now_s - drawn_s >= pause_s:
            drawn_s, soon = now_s, False
            terminal.draw(frame(dashboard.scene(), *terminal.size))
            continue
        timeout_s = pause_s - (now_s - drawn_s)
        descriptors = list(log_descriptors)
        if dashboard.feed.connected:
            descriptors.append(dashboard.feed.fileno())
        else:
            timeout_s = min(timeout_s, AWAY_S)
        keys, ready, woken = terminal.wait(descriptors, timeout_s)
        if log is not None and any(descriptor in ready for descriptor in log_descriptors):
            soon = True
            if not log.read():
                return
        if not dashboard.feed.connected or dashboard.feed.fileno() in ready:
            soon |= dashboard.read()
        if any(_press(dashboard, terminal, key) for key in keys):
            return
        if keys or woken:
            drawn_s = 0.0


def _press(dashboard: Dashboard, terminal: Terminal, key: str) -> bool:
    """Whether it is the key that ends it."""
    if key == "ctrl-l":
        terminal.redraw()
        return False
    action = dashboard.interface.press(key, dashboard.now_s())
    if action not in (None, Action.QUIT):
        dashboard.interface.say(write_report(action, dashboard, terminal.size), dashboard.now_s())
    return action is Action.QUIT

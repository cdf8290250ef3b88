"""What the watched process tells the feed: records, and each second how it does.

All of it is made and sent on a thread of its own, never on a loop's. What the observer cannot
take is dropped and counted.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from loophound.detector.adapters.link import ObserverLink
from loophound.detector.records import Stall
from loophound.detector.stream import tell
from loophound.times import now_iso

Message = dict[str, Any]

MOST_WAITING = 256
SNAPSHOT_PAUSE_S = 1.0


class Feeding(threading.Thread):
    """Sends what is said, and what `snapshot` makes each second."""

    def __init__(self, link: ObserverLink, snapshot: Callable[[bool], Message]) -> None:
        super().__init__(name="loophound-feed", daemon=True)
        self._link = link
        self._snapshot = snapshot
        self._waiting: deque[Message | Callable[[], None]] = deque()
        self.listeners: list[Callable[[Message], None]] = []  # who wants each snapshot too
        self._standing: dict[str, Message] = {}  # what an observer that is started again must know, by type
        self._connection = 0
        self._wake = threading.Event()
        self._stopping = False
        self._failed = False
        self.dropped = 0

    def say(self, message: Message, *, standing: bool = False) -> None:
        """Never waits. What is `standing` holds until another message of its type."""
        if standing:
            self._standing[message["type"]] = message
        if len(self._waiting) >= MOST_WAITING:
            self.dropped += 1
            return
        self._waiting.append(message)
        self._wake.set()

    def later(self, work: Callable[[], None]) -> None:
        """Have something done on this thread, for one that must not wait; dropped when too much waits."""
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append(work)
            self._wake.set()

    def show(self, stall: Stall) -> None:
        """A face of the detector's stream."""
        self.say({"type": "stall", "stall": stall.to_dict()})

    def worker(self, state: str) -> None:
        """The process is "starting", "ready" or "stopping"."""
        if self._standing.get("worker", {}).get("state") != state:
            self.say({"type": "worker", "state": state, "at": now_iso(), "why": None}, standing=True)

    def stop(self) -> None:
        """Returns when what was said is sent."""
        self._stopping = True
        self._wake.set()
        self.join(SNAPSHOT_PAUSE_S)

    def run(self) -> None:
        next_s = time.monotonic()
        while not self._stopping:
            self._wake.wait(max(0.0, next_s - time.monotonic()))
            self._wake.clear()
            self._send_what_waits()
            if time.monotonic() >= next_s:
                next_s = time.monotonic() + SNAPSHOT_PAUSE_S
                self._send_snapshot()
        self._send_what_waits()

    def _send_what_waits(self) -> None:
        if self._link.connections != self._connection:
            self._connection = self._link.connections
            for message in list(self._standing.values()):
                self._link.send(message)
        while self._waiting:
            item = self._waiting.popleft()
            if callable(item):
                self._guarded(item)
            else:
                self._link.send(item)

    def _send_snapshot(self) -> None:
        self._guarded(self._take_snapshot)

    def _take_snapshot(self) -> None:
        snapshot = self._snapshot(self._link.page.wanted)
        self._link.send(snapshot)
        for listener in self.listeners:
            listener(snapshot)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            if not self._failed:
                self._failed = True  # once: what fails in one second fails in the next
                tell(f"telling the feed failed: {type(error).__name__}: {error}; detection goes on")

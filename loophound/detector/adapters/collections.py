"""Garbage collections, bracketed by gc.callbacks."""

from __future__ import annotations

import gc
import threading
import time
from collections import deque
from typing import Any

from loophound.detector.facts import Collected

# A collection below this explains no stall, and most take microseconds.
WORTH_NOTING_NS = 1_000_000
MOST_UNREAD = 256


class CollectionWatch:
    """Notes collections with the thread in which they ran. The callback must stay short:
    it runs in whichever thread happened to trigger the collection.
    """

    def __init__(self) -> None:
        self._noted: deque[tuple[int, Collected]] = deque(maxlen=MOST_UNREAD)
        self._began_ns = 0

    def install(self) -> None:
        gc.callbacks.append(self._note)

    def remove(self) -> None:
        if self._note in gc.callbacks:
            gc.callbacks.remove(self._note)

    @property
    def any(self) -> bool:
        """Whether one was noted since the last `take()`."""
        return bool(self._noted)

    def take(self) -> list[tuple[int, Collected]]:
        """What was noted since the last call: the thread's ident and the collection."""
        taken = []
        while self._noted:
            taken.append(self._noted.popleft())
        return taken

    def _note(self, phase: str, info: dict[str, Any]) -> None:
        # Collections do not nest, and hold the GIL but for finalizers: one slot is enough.
        now_ns = time.monotonic_ns()
        if phase == "start":
            self._began_ns = now_ns
            return
        # It may have begun before the watch was installed: then it says nothing.
        began_ns, self._began_ns = self._began_ns, 0
        if began_ns and now_ns - began_ns >= WORTH_NOTING_NS:
            fact = Collected(began_ns, now_ns, info["generation"], info["collected"])
            self._noted.append((threading.get_ident(), fact))

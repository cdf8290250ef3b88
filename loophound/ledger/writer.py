"""The ledger's face: takes each stall as it ends, and writes on a thread of its own."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from loophound.detector.records import Stall

if TYPE_CHECKING:
    from loophound.ledger.store import LedgerError

MOST_WAITING = 1000
TRIES_WITH_A_LOCK = 4  # each waits half a second for it, before it is told
RETRY_S = 2.0
PRUNE_EVERY = 500  # stalls
CLOSING_S = 3.0


class LedgerFace:
    """Keeps stalls in the ledger at `path`, which it makes where there is none.

    Whatever is wrong with the ledger is said once, by `tell`; meanwhile up to MOST_WAITING
    stalls wait, and it is tried again every few seconds. Nothing raises, and no caller waits.
    """

    def __init__(self, path: Path, tell: Callable[[str], None], *, retry_s: float = RETRY_S) -> None:
        self.path = path
        self._tell = tell
        self._retry_s = retry_s
        self._waiting: list[Stall] = []
        self._lost = 0
        self._told: set[str] = set()
        self._failing = False
        self._locked_times = 0
        self._until_pruning = 0
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="loophound-ledger", daemon=True)

    def start(self) -> None:
        """Make or open the ledger, on its own thread."""
        self._thread.start()

    def __call__(self, stall: Stall) -> None:
        """Take a stall; one that goes on comes again when it has ended."""
        if stall.ongoing:
            return
        with self._changed:
            if len(self._waiting) >= MOST_WAITING:
                self._lost += 1
                return
            self._waiting.append(stall)
            self._changed.notify()

    def close(self) -> None:
        """Returns when all is written, or cannot be."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(CLOSING_S)
        lost = self._lost + len(self._waiting)
        if lost:
            self._tell(f"{lost} {'stall is' if lost == 1 else 'stalls are'} not in the ledger {str(self.path)!r}")

    def _run(self) -> None:
        well = self._write(())  # makes the file, and says at once what is wrong with it
        while True:
            with self._changed:
                # After a failure a new stall is no reason to try again at once.
                ready = self._is_asked if well else self._is_closing
                self._changed.wait_for(ready, None if well else self._retry_s)
                batch, closing = list(self._waiting), self._closing
            well = self._write(batch) if batch or not well else True
            if well:
                with self._changed:
                    del self._waiting[: len(batch)]
                if closing and not self._waiting:
                    return
            elif closing and (self._failing or self._locked_times >= TRIES_WITH_A_LOCK):
                return

    def _is_asked(self) -> bool:
        return self._closing or bool(self._waiting)

    def _is_closing(self) -> bool:
        return self._closing

    def _write(self, batch: Sequence[Stall]) -> bool:
        try:
            from loophound.ledger import store
        except ImportError as error:  # a Python that was built without SQLite
            self._complain(str(error))
            return False
        try:
            if self._until_pruning <= 0:
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                store.prepare(self.path, time.time(), store.Limits())
                self._until_pruning = PRUNE_EVERY
            if batch:
                store.append(self.path, batch)
                self._until_pruning -= len(batch)
        except store.LedgerError as error:
            self._note(error)
            return False
        except OSError as error:
            self._complain(f"the ledger {str(self.path)!r} cannot be made: {os.strerror(error.errno or 0)}")
            return False
        self._locked_times, self._failing = 0, False
        return True

    def _note(self, error: LedgerError) -> None:
        """A lock that another process holds for a moment is nobody's business."""
        self._locked_times += error.passing
        if not error.passing or self._locked_times >= TRIES_WITH_A_LOCK:
            self._complain(str(error))

    def _complain(self, problem: str) -> None:
        self._failing = True
        if problem not in self._told:
            self._told.add(problem)
            self._tell(f"{problem}; detection goes on, and this is said once")

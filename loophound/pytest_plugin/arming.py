"""The watch of a session, started and proved while pytest still collects."""

from __future__ import annotations

import threading
from collections.abc import Callable

from loophound.pytest_plugin.selfcheck import self_check
from loophound.pytest_plugin.watch import COARSEST_MS, Watch

UNPROVED = "the self-check has not run to its end"


class Arming:
    """The self-check blocks a thread for longer than the limit, which costs nobody anything beside a collection."""

    def __init__(self, new_watch: Callable[[float], Watch]) -> None:
        self._new_watch = new_watch  # for a limit in milliseconds
        self._limit_ms = 0.0
        self._watch: Watch | None = None
        self._check: threading.Thread | None = None
        self._problem = ""

    def begin(self, limit_ms: float) -> None:
        self._limit_ms, self._check, self._problem = min(limit_ms, COARSEST_MS), None, UNPROVED
        self._watch = self._new_watch(limit_ms)
        self._watch.start()
        check = threading.Thread(target=self._prove, args=(self._watch,), name="loophound-arming", daemon=True)
        check.start()
        self._check = check

    def finish(self, limit_ms: float) -> tuple[Watch, str]:
        """The watch, and what is wrong with it; empty when nothing is. No test has a limit below `limit_ms`.

        What blocked a loop until now is forgotten: it was in no test.
        """
        if self._watch is None or min(limit_ms, COARSEST_MS) < self._limit_ms:
            self.abandon()
            self.begin(limit_ms)
        assert self._watch is not None
        assert self._check is not None
        self._watch.limit_ms = limit_ms
        self._check.join()
        if self._problem:  # a collection that held the GIL may have kept it from looking
            self._prove(self._watch)
        self._watch.detector.wait_for_observer()
        self._watch.settle()
        self._watch.sightings.clear()
        watch, self._watch = self._watch, None
        return watch, self._problem

    def abandon(self) -> None:
        """There will be no tests."""
        if self._check is not None:
            self._check.join()
        if self._watch is not None:
            self._watch.stop()
        self._watch = self._check = None

    def _prove(self, watch: Watch) -> None:
        self._problem = self_check(watch)

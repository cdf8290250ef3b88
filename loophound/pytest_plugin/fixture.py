"""The fixture `stall_detector`: stalls to assert on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from loophound.dashboards.account import headline
from loophound.detector.records import Cause, Stall
from loophound.pytest_plugin.markers import Rules, rules_of
from loophound.pytest_plugin.watch import PATIENCE_S, WATCH, Watch
from loophound.threshold import DEFAULT_THRESHOLD_MS

LOOK_S = 0.005


class StallDetector:
    """The stalls of one test, at least as long as its limit."""

    def __init__(self, watch: Watch, limit_ms: float) -> None:
        self._watch = watch
        self._limit_ms = limit_ms
        self._first = len(watch.sightings)

    @property
    def stalls(self) -> list[Stall]:
        """Those that are over, in the order of their ends.

        On the thread of a running loop a stall is over only when the loop has turned: await `settle()` first.
        """
        if asyncio._get_running_loop() is None:
            self._watch.settle()
        new = self._watch.sightings[self._first :]
        return [seen.stall for seen in new if seen.stall.duration_s * 1000 >= self._limit_ms]

    async def settle(self) -> None:
        """Let the loop turn until what has blocked it is told in `stalls`: about 70 ms after a stall."""
        await asyncio.sleep(self._watch.detector.interval_ns * 2 / 1e9)
        deadline_s = asyncio.get_running_loop().time() + PATIENCE_S
        while not self._watch.detector.settled() and asyncio.get_running_loop().time() < deadline_s:
            await asyncio.sleep(LOOK_S)

    def expect(self, cause: str | None = None, *, function: str | None = None) -> Stall:
        """The stall of this cause and culprit, which then fails the test no more.

        Fails the test when there is none. Raises ValueError for a cause that is none.
        """
        wanted = Cause(cause) if cause is not None else None
        stalls = self.stalls
        for seen in self._watch.sightings[self._first :]:
            named = seen.stall.culprit.function if seen.stall.culprit is not None else None
            if not seen.expected and wanted in (None, seen.stall.cause) and function in (None, named):
                seen.expected = True
                return seen.stall
        wish = " ".join(filter(None, ["a stall", cause and f"by {cause}", function and f"in {function}"]))
        found = "".join(f"\n  {headline(stall)}" for stall in stalls) or " none"
        pytest.fail(f"expected {wish}; seen:{found}", pytrace=False)


def stalls_of(request: pytest.FixtureRequest) -> Iterator[StallDetector]:
    """Raises pytest.UsageError for markers that cannot be right."""
    watch = request.config.stash.get(WATCH, None)
    limit_ms = rules_of(request.node, Rules(DEFAULT_THRESHOLD_MS)).limit_ms
    if watch is not None:
        yield StallDetector(watch, watch.limit_ms)
        return
    watch = Watch(limit_ms)
    watch.start()
    try:
        watch.detector.wait_for_observer()
        yield StallDetector(watch, limit_ms)
    finally:
        watch.stop()

"""Time-outs of all connections by one timer.

A timer per request costs 1 µs each; one sweep a second costs nothing that matters, and
makes a time-out late by at most one interval, never early.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from loophound.server.bounds import Timeouts
from loophound.server.site import Connection, Site

INTERVAL_S = 1.0
SHORTEST_INTERVAL_S = 0.02
# What a visit may take of one turn of the loop, looked at after each batch of connections.
MOST_AT_ONCE_S = 0.003
BATCH = 32
LATENESS = 1.5  # of an interval: a sweep later than that was kept waiting by the loop


class Sweep:
    """Visits each connection every `interval_s` seconds; also renews the date of responses.

    `clock` gives seconds since the epoch. The loop's own time decides on time-outs.
    """

    def __init__(
        self,
        site: Site,
        timeouts: Timeouts,
        clock: Callable[[], float] = time.time,
        turned: Callable[[], None] | None = None,
    ) -> None:
        self._site = site
        self._timeouts = timeouts
        self._clock = clock
        self._turned = turned  # called at each visit: whoever wants to know that the loop lives
        limits_s = list(timeouts)
        if site.websocket is not None:
            limits_s += site.websocket.ping_interval_s or 0, site.websocket.ping_timeout_s or 0
        shortest_s = min(limit_s for limit_s in limits_s if limit_s) / 2
        self.interval_s = max(min(INTERVAL_S, shortest_s), SHORTEST_INTERVAL_S)
        self._swept_s = site.loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._due: list[Connection] = []

    def start(self) -> None:
        self._timer = self._site.loop.call_later(self.interval_s, self._turn)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._due = []

    def _turn(self) -> None:
        self._timer = self._site.loop.call_later(self.interval_s, self._turn)
        if self._turned is not None:
            self._turned()
        self.sweep()

    def sweep(self) -> None:
        """Visit all connections once."""
        site = self._site
        site.heads.renew(self._clock())
        # Only time in which the loop turned counts: while an application blocks it, a client's
        # next request waits unread, and its connection would be closed as idle.
        swept_s, self._swept_s = self._swept_s, site.loop.time()
        site.now_s += min(self._swept_s - swept_s, self.interval_s * LATENESS)
        now_s = site.now_s
        # Connections read the time of the last sweep in place of the clock, so an interval is added.
        timeouts = Timeouts._make(limit_s + self.interval_s for limit_s in self._timeouts)
        due = list(site.connections)
        if self._due:  # the last visit is not over: these come with the next one
            return
        self._due = due
        self._visit(now_s, timeouts)

    def _visit(self, now_s: float, timeouts: Timeouts) -> None:
        """Visit those that are due, some now and the others in turns of the loop to come.

        A thousand slow connections run out of time at once, and to refuse each takes 50 µs and more.
        """
        due = self._due
        until_s = time.monotonic() + MOST_AT_ONCE_S
        while due:
            for connection in due[-BATCH:]:
                connection.sweep(now_s, timeouts)
            del due[-BATCH:]
            if due and time.monotonic() > until_s:
                self._site.loop.call_soon(self._visit, now_s, timeouts)
                return

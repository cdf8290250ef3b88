"""Flagging at the side of our own server, whose requests are marked already: it costs a request nothing."""

from __future__ import annotations

import asyncio

from loophound.calls.flagger import Flagger
from loophound.server.hooks import Hooks, Served


class CallHooks:
    """What the server calls; see loophound/server/hooks.py. `others` are told the same."""

    def __init__(self, flagger: Flagger, others: Hooks | None) -> None:
        self._flagger = flagger
        self._others = others

    def loop_starting(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._others is not None:
            self._others.loop_starting(loop)

    def loop_started(self, loop: asyncio.AbstractEventLoop, served: Served) -> None:
        self._flagger.serve()
        if self._others is not None:
            self._others.loop_started(loop, served)

    def loop_leaving(self, loop: asyncio.AbstractEventLoop) -> None:
        leaving = getattr(self._others, "loop_leaving", None)
        if leaving is not None:
            leaving(loop)

    def loop_stopping(self, loop: asyncio.AbstractEventLoop) -> None:
        self._flagger.unserve()
        if self._others is not None:
            self._others.loop_stopping(loop)

"""What the server calls, on behalf of a detector."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from loophound.server.hooks import Served

if TYPE_CHECKING:
    from loophound.detector.detector import Detector


class ServerHooks:
    """What the server calls; see loophound/server/hooks.py."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector

    def loop_starting(self, loop: asyncio.AbstractEventLoop) -> None:
        self._detector.disregard(loop)
        self._detector.tell_worker("starting")

    def loop_started(self, loop: asyncio.AbstractEventLoop, served: Served) -> None:
        self._detector.attend(loop, served)
        self._detector.tell_about(addresses=list(served.addresses))
        self._detector.tell_worker("ready")

    def loop_leaving(self, loop: asyncio.AbstractEventLoop) -> None:
        self._detector.tell_worker("stopping")

    def loop_stopping(self, loop: asyncio.AbstractEventLoop) -> None:
        self._detector.attend(loop, None)
        self._detector.tell_worker("stopping")

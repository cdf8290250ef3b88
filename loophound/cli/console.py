"""`--console`: aiomonitor's console beside the served loop."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from loophound.dashboards.console.answers import Answers
from loophound.errors import ConfigError, StartupError
from loophound.server.hooks import Hooks, Served

if TYPE_CHECKING:
    from loophound.dashboards.console.monitor import Console
    from loophound.detector.records import Snapshot

logger = logging.getLogger("loophound.console")


class ConsoleHooks:
    """What the server calls; see loophound/server/hooks.py. `others` are told the same, once they are set.

    Raises ConfigError where aiomonitor is missing, StartupError where the port is taken.
    """

    def __init__(self, port: int, *, patient: bool = False) -> None:
        if importlib.util.find_spec("aiomonitor") is None:
            raise ConfigError("--console wants the package aiomonitor: pip install 'loophound[console]'")
        from loophound.dashboards.console.monitor import free_port

        if not patient:
            try:
                port = free_port(port)
            except OSError as error:
                raise StartupError(f"--console: cannot listen on 127.0.0.1:{port}: {error.strerror}") from None
        self.others: Hooks | None = None
        self.snapshots: Callable[[], Sequence[Snapshot]] = tuple
        self._port = port
        self._patient = patient
        self._loop: asyncio.AbstractEventLoop | None = None
        self._console: Console | None = None
        self.answers = Answers(lambda: self.snapshots(), self._executors, self._ping_s)

    def _executors(self) -> Sequence[Mapping[str, Any]]:
        from loophound.detector.adapters.executors import executors

        return executors([] if self._loop is None else [self._loop])

    def _ping_s(self) -> float | None:
        from loophound.dashboards.console.monitor import ping_s

        return None if self._loop is None else ping_s(self._loop)

    def loop_starting(self, loop: asyncio.AbstractEventLoop) -> None:
        if self.others is not None:
            self.others.loop_starting(loop)

    def loop_started(self, loop: asyncio.AbstractEventLoop, served: Served) -> None:
        from loophound.dashboards.console.monitor import Console

        self._loop = loop
        self._console = Console(loop, self._port, self.answers, patient=self._patient)
        self._console.start()
        logger.info("Console at 127.0.0.1:%d: python -m aiomonitor.cli -p %d, or telnet", self._port, self._port)
        if self.others is not None:
            self.others.loop_started(loop, served)

    def loop_leaving(self, loop: asyncio.AbstractEventLoop) -> None:
        leaving = getattr(self.others, "loop_leaving", None)
        if leaving is not None:
            leaving(loop)

    def loop_stopping(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._console is not None:
            self._console.close()
        if self.others is not None:
            self.others.loop_stopping(loop)

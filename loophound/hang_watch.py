"""`--hang-watch`, on by default: the detector with a threshold of a second, out of the way.

Nothing of it runs before the server accepts, no request is marked for it, and it is loaded
on a thread of its own: a start takes no longer with it, and a request costs the same.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from loophound.config import Config
from loophound.server.hooks import Served

if TYPE_CHECKING:
    from loophound.detector.detector import Detector
    from loophound.detector.records import BlockingCall
    from loophound.observer.hosting import Hosting

logger = logging.getLogger("loophound.detector")

LOADING_S = 10.0  # how long a stop waits for a detector that is being loaded


class HangWatch:
    """Implements loophound.server.hooks.Hooks: loads a detector when the server has started, and passes all on."""

    from_afar = True

    def __init__(self, start: Callable[[], Detector]) -> None:
        self._start = start
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._detector: Detector | None = None

    def loop_starting(self, loop: asyncio.AbstractEventLoop) -> None:
        """What happens now keeps nobody waiting."""

    def loop_started(self, loop: asyncio.AbstractEventLoop, served: Served) -> None:
        def load() -> None:
            try:
                self._detector = detector = self._start()
            except Exception as error:
                logger.warning("No hang watch: %s", error)
                return
            if not self._stopping.is_set():
                loop.call_soon_threadsafe(join, detector)

        def join(detector: Detector) -> None:
            if not self._stopping.is_set():
                detector.join_running()
                detector.hooks.loop_started(loop, served)
                logger.debug("The hang watch is on: stalls of %g s and more are reported", detector.threshold_ns / 1e9)

        self._thread = threading.Thread(target=load, name="loophound-hang-watch", daemon=True)
        self._thread.start()

    def loop_leaving(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._detector is not None:
            self._detector.hooks.loop_leaving(loop)

    def loop_stopping(self, loop: asyncio.AbstractEventLoop) -> None:
        self._stopping.set()
        if self._detector is not None:
            self._detector.hooks.loop_stopping(loop)

    def show_call(self, call: BlockingCall) -> None:
        """A flagged call, for the feed."""
        if self._detector is not None:
            self._detector.show_call(call)

    def close(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(LOADING_S)


@contextmanager
def hang_watch(
    config: Config, worker: int = 0, observer: str | None = None, hosting: Hosting | None = None
) -> Iterator[HangWatch]:
    """Watch the server that is told of the hooks, while it runs, and show and keep stalls as --detect-blocking does.

    Raises ConfigError for a record file or a ledger that cannot be.
    """
    _check_places(config)
    started_in = os.getpid()
    with ExitStack() as at_end:

        def start() -> Detector:
            from loophound.cli.detection import detection

            assert config.hang_watch is not None
            return at_end.enter_context(
                detection(
                    config.hang_watch * 1000,
                    config.record,
                    config.ledger,
                    config.log_format,
                    worker=worker,
                    hosting=hosting,
                    observer=observer,
                    otel=config.otel,
                    sums=False,
                )
            )

        watch = HangWatch(start)
        try:
            yield watch
        finally:
            if os.getpid() == started_in:
                watch.close()


def _check_places(config: Config) -> None:
    """At once: on the thread that loads the watch it would come too late to end the start."""
    if config.record is not None:
        from loophound.dashboards.recorder import RecordFile

        RecordFile(config.record).close()
    if config.ledger is not None:
        from loophound.ledger.place import chosen_path

        chosen_path(config.ledger, Path.cwd(), os.environ)

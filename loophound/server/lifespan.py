"""The lifespan protocol (ASGI specification, "Lifespan"): startup, shutdown and their failures."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from enum import Enum, auto
from typing import Any

from loophound.config import Lifespan as Mode
from loophound.errors import StartupError
from loophound.server.asgi import ASGI_VERSION, LIFESPAN_SPEC_VERSION, Application, Message, MessageError

logger = logging.getLogger("loophound.server")


# A lifespan that has said its last message gets so long to return or raise, and as long again once cancelled.
UNWIND_S = 0.2


class Stage(Enum):
    """How far the application's lifespan is."""

    STARTING = auto()
    STARTED = auto()
    FAILED = auto()  # startup.failed was sent
    STOPPING = auto()
    STOPPED = auto()


# stage and message: the stage after it. What is missing is out of order.
_NEXT = {
    (Stage.STARTING, "lifespan.startup.complete"): Stage.STARTED,
    (Stage.STARTING, "lifespan.startup.failed"): Stage.FAILED,
    (Stage.STOPPING, "lifespan.shutdown.complete"): Stage.STOPPED,
    (Stage.STOPPING, "lifespan.shutdown.failed"): Stage.STOPPED,
}


class Lifespan:
    """One application's lifespan; `state` is what it leaves for the requests."""

    def __init__(self, app: Application, mode: Mode) -> None:
        self.state: dict[str, Any] = {}
        self.stage = Stage.STARTING
        self._app = app
        self._mode = mode
        self._task: asyncio.Task[None] | None = None
        self._events: deque[Message] = deque()
        self._event_came = asyncio.Event()
        self._stage_changed = asyncio.Event()
        self._message = ""

    async def startup(self) -> None:
        """Start the application. Raises StartupError when it fails, or (mode `on`) has no lifespan."""
        if self._mode == "off":
            return
        self._task = asyncio.get_running_loop().create_task(self._run(), name="lifespan")
        self._tell("lifespan.startup")
        try:
            await self._until_stage_or_end()
        except asyncio.CancelledError:
            self._task.cancel()
            raise
        if self.stage is Stage.STARTED:
            return
        error = await self._outcome()
        if self.stage is Stage.FAILED:
            if error is not None:
                logger.error("The application failed to start", exc_info=error)
            raise StartupError(f"the application failed to start: {self._message or 'it sent lifespan.startup.failed'}")
        if self._mode == "on":
            if error is not None:
                logger.error("The application's lifespan raised", exc_info=error)
                raise StartupError(f"the application failed to start: {type(error).__name__}: {error}")
            raise StartupError("--lifespan on, but the application returned without lifespan.startup.complete")
        logger.debug("The application has no lifespan (%s)", error or "it returned")
        self._task = None

    async def shutdown(self) -> None:
        """Stop the application; failures are logged."""
        task = self._task
        if task is None or task.done():
            return
        self.stage = Stage.STOPPING
        self._stage_changed.clear()
        self._tell("lifespan.shutdown")
        try:
            await self._until_stage_or_end()
        finally:
            if not task.done() and self.stage is Stage.STOPPING:
                task.cancel()
        error = await self._outcome()
        if error is not None:
            logger.error("The application's shutdown raised", exc_info=error)
        elif self._message:
            logger.error("The application failed to shut down: %s", self._message)

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": ASGI_VERSION, "spec_version": LIFESPAN_SPEC_VERSION},
            "state": self.state,
        }
        try:
            await self._app(scope, self._receive, self._send)
        except (SystemExit, KeyboardInterrupt) as error:  # would end the loop if it left the task
            raise RuntimeError(f"{type(error).__name__}({error}) in the application's lifespan") from error

    def _tell(self, kind: str) -> None:
        self._events.append({"type": kind})
        self._event_came.set()

    async def _receive(self) -> Message:
        while not self._events:
            self._event_came.clear()
            await self._event_came.wait()
        return self._events.popleft()

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        stage = _NEXT.get((self.stage, kind))
        if stage is None:
            raise MessageError(f"{kind!r} was sent while the lifespan was {self.stage.name.lower()}")
        self.stage = stage
        self._message = message.get("message", "") if kind.endswith(".failed") else ""
        self._stage_changed.set()

    async def _until_stage_or_end(self) -> None:
        assert self._task is not None
        changed = asyncio.ensure_future(self._stage_changed.wait())
        try:
            await asyncio.wait({self._task, changed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()

    async def _outcome(self) -> BaseException | None:
        """The exception with which the application's lifespan ended, waiting for that end a little."""
        task = self._task
        assert task is not None
        await asyncio.wait({task}, timeout=UNWIND_S)
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=UNWIND_S)
        if not task.done() or task.cancelled():
            return None
        return task.exception()

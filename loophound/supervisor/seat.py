"""A worker's server, as its supervisor sees it."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from typing import TYPE_CHECKING

from loophound.supervisor.control import Control
from loophound.supervisor.handover import Handover
from loophound.supervisor.pulse import Pulse

if TYPE_CHECKING:
    from loophound.server.server import Server

logger = logging.getLogger("loophound.supervisor")

# Connections taken in one turn of the loop: another worker may be idle.
MOST_AT_ONCE = 8


class WorkerSeat:
    """Implements loophound.server.seat.Seat."""

    announces = False
    takes_signals = False

    def __init__(self, worker: int, control: Control, pulse: Pulse, handover: Handover) -> None:
        self.worker = worker
        self._control = control
        self._pulse = pulse
        self._handover = handover
        self._server: Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked = False
        self.was_terminated = False  # before it served

    def ready(self, server: Server) -> None:
        self._server = server
        self._loop = loop = asyncio.get_running_loop()
        self._pulse.thread = threading.get_native_id()
        self._pulse.beat()
        loop.add_reader(self._control.socket.fileno(), self._listen)
        loop.add_reader(self._handover.receiver.fileno(), self._take)
        self._control.send("ready")

    def turned(self) -> None:
        self._pulse.beat()

    def stopping(self) -> None:
        """What the others give away is for those that stay."""
        if self._loop is not None:
            self._loop.remove_reader(self._handover.receiver.fileno())

    def enough(self, why: str) -> bool:
        return self._control.send("leave", f"it has served {why}")

    def terminated(self) -> None:
        """SIGTERM, which the supervisor does not send to a worker that serves: once for a successor, twice to stop."""
        if self._server is None:
            self.was_terminated = True
            raise SystemExit(0)
        if self._asked or not self._control.send("leave", "it was asked to end by SIGTERM"):
            self._server.stop()
        self._asked = True

    def _listen(self) -> None:
        assert self._server is not None
        assert self._loop is not None
        messages = self._control.receive()
        if messages is None:  # the supervisor is gone
            self._loop.remove_reader(self._control.socket.fileno())
            self._server.stop()
            return
        for kind, _ in messages:
            if kind == "retire":
                self._server.retire(self._handover.give)
            elif kind == "listen":
                while self._control.descriptors:
                    self._server.listen_also(socket.socket(fileno=self._control.descriptors.pop()))
            elif kind == "stop":
                self._server.stop()
            elif kind == "at once":
                self._server.stop()
                self._server.stop()

    def _take(self) -> None:
        assert self._server is not None
        for _ in range(MOST_AT_ONCE):
            sock = self._handover.take()
            if sock is None:
                return
            self._server.adopt(sock)

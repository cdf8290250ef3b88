"""systemd: sockets that it has bound (LISTEN_FDS) and what it wants to hear (NOTIFY_SOCKET).

sd_listen_fds(3) and sd_notify(3): environment variables and one datagram socket, which
need no library.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loophound.server.server import Server

logger = logging.getLogger("loophound.server")

FIRST_DESCRIPTOR = 3
# The server says that its loop turns about once a second.
SHORTEST_WATCHDOG_S = 2.0


def listen_descriptors(environ: Mapping[str, str]) -> list[int]:
    """The sockets that systemd has bound for this process; none where they are another's, or there are none."""
    try:
        count, pid = int(environ.get("LISTEN_FDS", "0")), int(environ.get("LISTEN_PID", "0"))
    except ValueError:
        return []
    return list(range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + count)) if pid == os.getpid() else []


class Service:
    """Tells systemd how the service does. Nothing raises, and nothing waits: a full socket drops the word."""

    def __init__(self, address: str, watchdog_s: float | None) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)
        self._watchdog_s = watchdog_s
        self._told_s = 0.0
        if watchdog_s is not None and watchdog_s < SHORTEST_WATCHDOG_S:
            logger.warning(
                "WatchdogSec is %g s; a healthy server may miss less than %g s", watchdog_s, SHORTEST_WATCHDOG_S
            )

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Service | None:
        """The service that this process is, or None where systemd has not started it or does not want to know."""
        address = environ.get("NOTIFY_SOCKET", "")
        if not address.startswith(("/", "@")):
            return None
        watchdog_s = None
        if environ.get("WATCHDOG_PID", f"{os.getpid()}") == f"{os.getpid()}":
            try:
                watchdog_s = int(environ["WATCHDOG_USEC"]) / 1e6
            except (KeyError, ValueError):
                watchdog_s = None
        return cls(address, watchdog_s)

    def tell(self, *lines: str) -> None:
        try:
            self._socket.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            logger.debug("systemd does not listen: %s", error)

    def close(self) -> None:
        self._socket.close()

    def ready(self, status: str) -> None:
        self.tell("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        self.tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self.tell("STOPPING=1")

    def alive(self) -> None:
        """Called whenever it is known that the service serves; systemd hears of it twice in its time at least."""
        now_s = time.monotonic()
        if self._watchdog_s is not None and now_s - self._told_s >= self._watchdog_s / 4:
            self._told_s = now_s
            self.tell("WATCHDOG=1")


class ServiceSeat:
    """Implements loophound.server.seat.Seat for a process alone: the watchdog hears of the loop's own turns."""

    announces = True
    worker = 0
    takes_signals = True

    def __init__(self, service: Service) -> None:
        self._service = service

    def ready(self, server: Server) -> None:
        self._service.ready("serving")
        self._service.alive()

    def turned(self) -> None:
        self._service.alive()

    def stopping(self) -> None:
        self._service.stopping()

    def enough(self, why: str) -> bool:
        return False

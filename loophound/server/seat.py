"""What a server tells whoever runs it: a supervisor, a service manager, gunicorn.

Like the hooks, an interface that the server calls without knowing who implements it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from loophound.server.server import Server

logger = logging.getLogger("loophound.server")

# Takes a copy of a connection's descriptor to another process; False when it cannot just now.
Give = Callable[[int], bool]


class Seat(Protocol):
    """All methods are called on the loop's thread, and must not block."""

    announces: bool  # whether the server's log names its addresses
    worker: int  # its number, for lines of the log; 0 for a process alone
    takes_signals: bool  # whether the server answers signals by itself

    def ready(self, server: Server) -> None:
        """It accepts connections."""

    def turned(self) -> None:
        """The loop has turned; called about once a second while the server runs, until it has ended."""

    def stopping(self) -> None:
        """It is asked to end, and will not accept for much longer."""

    def enough(self, why: str) -> bool:
        """It has done what `why` allows. True: it is going to be replaced; False: it has to stop by itself."""


def give_away(transport: asyncio.Transport, give: Give) -> bool:
    """Let another process have the connection; here it ends without a word to the client.

    Bytes that the client has sent meanwhile stay in the kernel, for whoever reads next.
    """
    transport.pause_reading()
    descriptor = os.dup(transport.get_extra_info("socket").fileno())
    try:
        given = give(descriptor)
    finally:
        os.close(descriptor)
    if given:
        # Closes this process's descriptor alone: neither asyncio nor libuv calls shutdown(2) for it.
        transport.abort()
    else:
        transport.resume_reading()
    return given


async def take(loop: asyncio.AbstractEventLoop, make: Callable[[], asyncio.Protocol], sock: socket.socket) -> None:
    """Serve a connection that another process has given away."""
    try:
        await loop.connect_accepted_socket(make, sock)
    except OSError as error:  # the client has gone on the way
        logger.debug("A connection was lost on its way to this process: %s", error)
        sock.close()

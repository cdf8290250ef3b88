"""The feed's socket: whoever connects gets the lines, and nobody is waited for."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Protocol

from loophound.observer.hub import Hub
from loophound.observer.lines import Lines

MOST_READERS = 64


class Polling(Protocol):
    """What it needs of the host."""

    def listen(self, descriptor: int, handler: Callable[[], None]) -> None: ...

    def forget(self, descriptor: int) -> None: ...

    def watch_writing(self, descriptor: int, wanted: bool) -> None: ...


class Feed:
    """Accepts readers at a listening socket. `changed` is called when one comes or goes."""

    def __init__(self, host: Polling, hub: Hub, descriptor: int, changed: Callable[[], None]) -> None:
        self._host = host
        self._hub = hub
        self._changed = changed
        self._listener = socket.socket(fileno=descriptor)
        self._listener.setblocking(False)
        host.listen(descriptor, self._accept)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        if len(self._hub.readers) >= MOST_READERS:
            connection.close()
            return
        descriptor = connection.fileno()
        reader = Lines(connection, lambda wanted: self._host.watch_writing(descriptor, wanted))
        self._host.listen(descriptor, lambda: self._ready(reader))
        self._hub.join(reader)
        self._changed()

    def _ready(self, reader: Lines) -> None:
        reader.flush()
        try:
            # Readers have nothing to say: only that they have gone is of interest.
            gone = not reader.connection.recv(4096)
        except BlockingIOError:
            gone = False
        except OSError:
            gone = True
        if gone or reader.gone:
            self._part(reader)

    def drop_those_who_do_not_read(self) -> None:
        """Readers that have gone, or take nothing any more."""
        for reader in [*self._hub.readers]:
            if reader.gone or reader.stuck:
                self._hub.dropped_readers += 1
                self._part(reader)

    def _part(self, reader: Lines) -> None:
        self._hub.part(reader)
        self._host.forget(reader.connection.fileno())
        reader.connection.close()
        self._changed()

    def close(self) -> None:
        """Hand over what is ready, and end."""
        for reader in [*self._hub.readers]:
            reader.flush()
            reader.connection.close()
        self._hub.readers.clear()
        self._listener.close()

"""The socket between a supervisor and one worker: small messages, in order, each whole (SOCK_SEQPACKET, unix(7))."""

from __future__ import annotations

import json
import socket
from typing import Any

LARGEST_BYTES = 1 << 17


class Control:
    """One end. What cannot be sent, because the other end is gone or does not read, is lost."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        sock.setblocking(False)

    @classmethod
    def pair(cls) -> tuple[Control, socket.socket]:
        """The supervisor's end, and the worker's, to be passed on."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(ours), theirs

    def send(self, kind: str, text: str = "") -> bool:
        try:
            self.socket.send(json.dumps({"kind": kind, "text": text}).encode())
        except OSError:
            return False
        return True

    def receive(self) -> list[tuple[str, str]] | None:
        """The messages that have come: kind and text. None when the other end is gone."""
        found: list[tuple[str, str]] = []
        while True:
            try:
                data = self.socket.recv(LARGEST_BYTES)
            except BlockingIOError:
                return found
            except OSError:
                return found or None
            if not data:
                return found or None
            message: dict[str, Any] = json.loads(data)
            found.append((message["kind"], message["text"]))

    def close(self) -> None:
        self.socket.close()

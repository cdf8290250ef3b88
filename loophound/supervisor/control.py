"""The socket between a supervisor and one worker: small messages, in order, each whole (SOCK_SEQPACKET, unix(7))."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from typing import Any

LARGEST_BYTES = 1 << 17
MOST_DESCRIPTORS = 64


class Control:
    """One end. What cannot be sent, because the other end is gone or does not read, is lost."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.descriptors: list[int] = []  # those that have come with messages, for the reader to take out
        sock.setblocking(False)

    @classmethod
    def pair(cls) -> tuple[Control, socket.socket]:
        """The supervisor's end, and the worker's, to be passed on."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(ours), theirs

    def send(self, kind: str, text: str = "", descriptors: Sequence[int] = ()) -> bool:
        try:
            socket.send_fds(self.socket, [json.dumps({"kind": kind, "text": text}).encode()], list(descriptors))
        except OSError:
            return False
        return True

    def receive(self) -> list[tuple[str, str]] | None:
        """The messages that have come: kind and text. None when the other end is gone."""
        found: list[tuple[str, str]] = []
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(self.socket, LARGEST_BYTES, MOST_DESCRIPTORS)
            except BlockingIOError:
                return found
            except OSError:
                return found or None
            if not data:
                return found or None
            self.descriptors += descriptors
            message: dict[str, Any] = json.loads(data)
            found.append((message["kind"], message["text"]))

    def close(self) -> None:
        self.socket.close()

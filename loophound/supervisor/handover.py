"""Connections on their way from a worker that retires to any that serves.

One pair of sockets for all workers: who retires sends descriptors into one end
(SCM_RIGHTS, unix(7)), who serves reads from the other. What is in between waits in the
kernel, and outlives both.
"""

from __future__ import annotations

import array
import socket

BUFFER_BYTES = 1 << 20


class Handover:
    """Both ends; each worker has inherited the same."""

    def __init__(self, sender: socket.socket, receiver: socket.socket) -> None:
        self.sender = sender
        self.receiver = receiver
        sender.setblocking(False)
        receiver.setblocking(False)

    @classmethod
    def create(cls) -> Handover:
        sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        return cls(sender, receiver)

    @property
    def descriptors(self) -> tuple[int, int]:
        return self.sender.fileno(), self.receiver.fileno()

    def give(self, descriptor: int) -> bool:
        """Send a copy of the descriptor; False when there is no room just now."""
        try:
            self.sender.sendmsg([b"c"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))])
        except OSError:  # EAGAIN, or ETOOMANYREFS
            return False
        return True

    def take(self) -> socket.socket | None:
        """A connection that was given; None when another worker was faster."""
        try:
            _, descriptors, _, _ = socket.recv_fds(self.receiver, 1, 1)
        except OSError:
            return None
        if not descriptors:
            return None
        sock = socket.socket(fileno=descriptors[0])
        sock.setblocking(False)
        return sock

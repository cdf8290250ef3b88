"""How a process comes under watch: one packet with all that the observer needs, and three descriptors.

The descriptors travel in the packet (unix(7), SCM_RIGHTS), so a process that is started later, by
a supervisor for example, can hand its own to an observer that runs already. The socket on which
the packet came stays theirs: samples come back on it, records and snapshots follow.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

MEMBERS = 3  # page, memory, alive: in this order
LARGEST_PACKET = 1 << 18
BUFFER_BYTES = 1 << 20  # the kernel grants what net.core.wmem_max allows


@dataclass(frozen=True, slots=True)
class Attachment:
    """What a watched process says of itself, and what is to be done with its stalls."""

    pid: int
    layout: str
    threshold_ns: int
    interval_ns: int
    runtime: tuple[int, int]  # between which addresses the interpreter's runtime state lies there
    announce: bool = False  # on standard error
    as_json: bool = False  # what is announced is a JSON line
    record: str | None = None
    ledger: str | None = None  # where to add a stall in which the process ends
    worker: int = 0
    by_proxy: bool = False  # by its supervisor, for a moment: nothing of it is told to others
    limit_ns: int = 0  # after so much the observer sends the signal of detector/adapters/interrupt.py; 0 for never


@dataclass(frozen=True, slots=True)
class Descriptors:
    """The shared page, the process's memory, and a pidfd that is readable once the process has ended."""

    page: int
    memory: int
    alive: int

    def close(self) -> None:
        for descriptor in (self.page, self.memory, self.alive):
            os.close(descriptor)


def channel() -> tuple[socket.socket, socket.socket]:
    """The two ends between a watched process and its observer: packets, kept whole and in order."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def enlarge(end: socket.socket) -> None:
    """Let much wait in it: what is sent while the other side cannot read."""
    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)


def attach(end: socket.socket, attachment: Attachment, page: int, memory: int) -> None:
    """Put a process under watch, this one or a child. Raises OSError where that cannot be sent."""
    alive = os.pidfd_open(attachment.pid)
    try:
        socket.send_fds(end, [json.dumps(asdict(attachment)).encode()], [page, memory, alive])
    finally:
        os.close(alive)


def attached(end: socket.socket) -> tuple[Attachment, Descriptors] | None:
    """The packet of the process at the other end; None when it has gone.

    Raises ValueError for a packet that is none of ours, BlockingIOError when none is there yet.
    """
    packet, descriptors, _, _ = socket.recv_fds(end, LARGEST_PACKET, MEMBERS)
    if not packet:
        return None
    try:
        return _read(packet, descriptors), Descriptors(*descriptors)
    except (ValueError, TypeError, KeyError) as error:
        for descriptor in descriptors:
            os.close(descriptor)
        raise ValueError(f"not the attachment of a watched process: {error}") from None


def _read(packet: bytes, descriptors: Sequence[int]) -> Attachment:
    if len(descriptors) != MEMBERS:
        raise ValueError(f"{len(descriptors)} descriptors came with it")
    values = json.loads(packet)
    known = {entry.name: values[entry.name] for entry in fields(Attachment) if entry.name in values}
    return Attachment(**{**known, "runtime": (known["runtime"][0], known["runtime"][1])})

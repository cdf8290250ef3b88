"""The watched process's end of the observer: it starts it, and reads the samples it sends.

The watched process never waits for its observer and outlives its death. The observer gets
three descriptors and nothing else: the shared page, a read-only descriptor of this
process's memory (whose permission was checked when it was opened, so that no privilege is
needed), and one end of a socket.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import loophound
from loophound.detector.adapters.kernel import runtime_span
from loophound.detector.facts import Sampled
from loophound.observer.calibrate import calibrate
from loophound.observer.messages import Decoder
from loophound.observer.page import Page

LARGEST_MESSAGE = 1 << 18
BUFFER_BYTES = 1 << 20  # the kernel grants what net.core.wmem_max allows
MOST_MESSAGES_AT_ONCE = 512
# A busy machine may take long to start a Python; nothing waits for it but this figure.
READY_S = 5.0
LOOK_MS = 20

# The shell lets go of the observer, so that it is no child of the watched program: os.wait()
# and waitpid(-1) there must not see it. Started in the background of a shell without job
# control it ignores Ctrl-C, as it should: it ends when the watched process does.
_DETACH = ["/bin/sh", "-c", '"$@" &', "sh"]


class ObserverUnavailable(Exception):
    """The observer cannot work here; the text says why."""


class ObserverLink:
    """Raises ObserverUnavailable when this interpreter or platform cannot be read from outside."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.dropped = 0
        self.lost = False
        self.ready = False  # the observer has sent its first word
        self._decoder = Decoder()
        with contextlib.ExitStack() as undo:
            try:
                layout = calibrate()
                self.memory = os.open("/proc/self/mem", os.O_RDONLY | os.O_CLOEXEC)
                undo.callback(os.close, self.memory)
                self.page = Page.create()
                undo.callback(os.close, self.page.descriptor)
                self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                undo.callback(self._socket.close)
                theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
                self._start(theirs, {**settings, "layout": layout.to_json()})
            except Exception as error:
                raise ObserverUnavailable(str(error) or type(error).__name__) from error
            self._undo = undo.pop_all()
        self._socket.setblocking(False)
        self.page.ticked_ns = time.monotonic_ns()

    def _start(self, theirs: socket.socket, settings: dict[str, Any]) -> None:
        own_process = os.pidfd_open(os.getpid())
        with theirs, os.fdopen(own_process, "rb") as alive:
            descriptors = {
                "page": self.page.descriptor,
                "memory": self.memory,
                "socket": theirs.fileno(),
                "parent": alive.fileno(),
            }
            arguments = json.dumps({**settings, **descriptors, "pid": os.getpid(), "runtime": runtime_span()})
            home = str(Path(loophound.__file__).parent.parent)
            path = os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH", ""))))
            subprocess.run(
                [*_DETACH, sys.executable, "-P", "-m", "loophound.observer", arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=tuple(descriptors.values()),
                env={**os.environ, "PYTHONPATH": path},
                check=True,
            )

    def take(self) -> Iterator[tuple[int, int, Sampled]]:
        """What the observer has sent: slot, generation and sample."""
        for _ in range(MOST_MESSAGES_AT_ONCE):
            try:
                message = self._socket.recv(LARGEST_MESSAGE)
            except BlockingIOError:
                return
            except OSError:
                self.lost = True
                return
            if not message:
                self.lost = True
                return
            self.ready = True
            try:
                received = self._decoder.decode(message)
            except (ValueError, KeyError, TypeError):
                continue
            self.dropped = received.dropped
            if received.sample is not None:
                yield received.slot, received.generation, received.sample

    def wait_until_ready(self, timeout_s: float = READY_S) -> bool:
        """Wait for the observer's first word; only commands that prove or measure need it."""
        poller = select.poll()
        poller.register(self._socket, select.POLLIN)
        deadline_s = time.monotonic() + timeout_s
        while not self.ready and not self.lost and time.monotonic() < deadline_s:
            # Looked at and left there: the watchdog reads the messages, and may be the first to.
            if poller.poll(LOOK_MS):
                with contextlib.suppress(OSError):
                    if self._socket.recv(1, socket.MSG_PEEK):
                        self.ready = True
                    else:
                        self.lost = True
        return self.ready

    def close(self) -> None:
        """The observer ends when it reads the end of the socket."""
        self._undo.close()

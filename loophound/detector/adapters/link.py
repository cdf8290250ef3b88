"""The watched process's end of the observer: it starts it, attaches, and reads the samples it sends.

The watched process never waits for its observer and outlives its death. The observer gets
three descriptors and nothing else: the shared page, a read-only descriptor of this
process's memory (whose permission was checked when it was opened, so that no privilege is
needed), and a pidfd of this process.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from loophound.detector.adapters.kernel import runtime_span
from loophound.detector.adapters.turns import offset_in_frame
from loophound.detector.facts import Sampled
from loophound.detector.stream import tell
from loophound.observer.attach import LARGEST_PACKET, Attachment, attach, channel, enlarge
from loophound.observer.calibrate import calibrate
from loophound.observer.launch import launch
from loophound.observer.layout import ABSENT, WORD
from loophound.observer.memory import ProcessMemory
from loophound.observer.messages import Decoder
from loophound.observer.page import Page, Slot

if TYPE_CHECKING:
    from loophound.observer.hosting import Hosting

MOST_MESSAGES_AT_ONCE = 512
# A busy machine may take long to start a Python; nothing waits for it but this figure.
READY_S = 5.0
LOOK_MS = 20
RETRY_NS = 500_000_000
WHAT_IS_LOST = "a C call that holds the GIL is named only after it has ended, and the feed has ended"


class ObserverUnavailable(Exception):
    """The observer cannot work here; the text says why."""


class ObserverLink:
    """Raises ObserverUnavailable when this interpreter or platform cannot be read from outside.

    `watching` are fields of observer.attach.Attachment. The process attaches to the observer of
    its supervisor, at the socket `observer`, or starts one of its own, which shows what `hosting`
    says.
    """

    def __init__(
        self,
        watching: Mapping[str, Any],
        *,
        observer: str | None = None,
        hosting: Hosting | None = None,
    ) -> None:
        self.dropped = 0  # samples that the observer could not send
        self.unsent = 0  # packets that we could not
        self.lost = False
        self.ready = False  # the observer has sent its first word
        self._observer = observer
        self._hosting = hosting
        self._restarts = 0
        self._retry_ns = 0
        self.connections = 1
        self._closed = False
        self._decoder = Decoder()
        with contextlib.ExitStack() as undo:
            try:
                layout = self.layout = calibrate()
                self.memory = os.open("/proc/self/mem", os.O_RDONLY | os.O_CLOEXEC)
                undo.callback(os.close, self.memory)
                self.own_memory = ProcessMemory(self.memory)
                self.turn_in_frame = offset_in_frame(layout)
                self.page = Page.create()
                undo.callback(os.close, self.page.descriptor)
                self._attachment = Attachment(
                    **{**watching, "pid": os.getpid(), "layout": layout.to_json(), "runtime": runtime_span()}
                )
                self._socket = self._connect()
            except Exception as error:
                raise ObserverUnavailable(str(error) or type(error).__name__) from error
            self._undo = undo.pop_all()
        self.page.ticked_ns = time.monotonic_ns()

    def _connect(self) -> socket.socket:
        """A socket on which this process is attached. Raises OSError."""
        if self._observer is None:
            ours, theirs = channel()
        else:
            ours = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            ours.setblocking(False)
            if self._observer is None:
                with theirs:
                    shown, sockets = {}, {}
                    if self._hosting is not None:
                        shown, sockets = self._hosting.settings(), self._hosting.descriptors()
                    launch(shown, {"door": theirs.fileno()} | sockets)
            else:
                ours.connect(self._observer)  # BlockingIOError where too many wait already
            enlarge(ours)
            attach(ours, self._attachment, self.page.descriptor, self.memory)
        except BaseException:
            ours.close()
            raise
        return ours

    def take(self) -> Iterator[tuple[int, int, Sampled]]:
        """What the observer has sent: slot, generation and sample."""
        if self.lost:
            self._recover()
            return
        for _ in range(MOST_MESSAGES_AT_ONCE):
            try:
                message = self._socket.recv(LARGEST_PACKET)
            except BlockingIOError:
                return
            except OSError:
                message = b""
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

    def send(self, message: Mapping[str, Any]) -> bool:
        """Hand the observer a message of the feed; False, and counted, when it cannot take it now."""
        try:
            self._socket.send(json.dumps(message, separators=(",", ":")).encode())
        except OSError:  # full, or gone, or too large
            self.unsent += 1
            return False
        return True

    def _recover(self) -> None:
        """Called by the watchdog again and again: it must not wait."""
        now_ns = time.monotonic_ns()
        if self._closed or now_ns < self._retry_ns:
            return
        self._retry_ns = now_ns + RETRY_NS
        if self._observer is not None:  # to start it again is its supervisor's business
            self._reconnect()
        elif self._restarts == 0:
            self._restarts = 1
            self._retry_ns = now_ns + 1000 * RETRY_NS  # this one try decides
            tell("the observer process has ended unexpectedly: it is started again")
            # To start a process takes milliseconds, or longer on a crowded machine.
            threading.Thread(target=self._reconnect, name="loophound-observer", daemon=True).start()
        elif self._restarts == 1:
            self._restarts = 2
            tell(f"the observer process has ended again, and is not started any more: {WHAT_IS_LOST}")

    def _reconnect(self) -> None:
        try:
            new = self._connect()
        except Exception as error:
            if self._observer is None:
                tell(f"the observer process could not be started again ({error}): {WHAT_IS_LOST}")
            return
        if self._closed:
            new.close()
            return
        self._socket.close()
        self._decoder = Decoder()
        self.ready, self._socket = False, new
        self._retry_ns = 0
        self.connections += 1
        self.lost = False  # last: from here on the watchdog reads it

    def turn_of(self, slot: Slot | None) -> int:
        """Which callback runs in the loop's thread, as `Sampled.turn` has it."""
        if slot is None or self.layout.state_turn == ABSENT:
            return 0
        try:
            return int(WORD.unpack(os.pread(self.memory, WORD.size, slot.thread_state + self.layout.state_turn))[0])
        except (OSError, struct.error):  # the thread has ended
            return 0

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
        self._closed = True
        self._socket.close()
        self._undo.close()

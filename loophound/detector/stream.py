"""From the watchdog to the faces: bounded, never blocking, counting what it drops."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from loophound.detector.records import Stall

Face = Callable[[Stall], None]
Item = TypeVar("Item")
Record = TypeVar("Record")

MOST_WAITING = 256
CLOSING_S = 5.0


class Stream(Generic[Item, Record]):
    """A thread that turns items into records and shows each to every face, in order.

    A face that raises is told once on standard error, and goes on being called: a disk that
    was full may have room again.
    """

    def __init__(
        self,
        make: Callable[[Item], Sequence[Record]],
        faces: Sequence[Callable[[Record], None]],
        *,
        what: str = "stalls",
    ) -> None:
        self._what = what
        self._make = make
        self._faces = list(faces)
        self._waiting: deque[Item] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._showing = False
        self._told: set[str] = set()
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="loophound-faces", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, item: Item) -> None:
        """Never waits: the newest item is dropped, and counted, when the faces are too slow."""
        with self._changed:
            if len(self._waiting) >= MOST_WAITING:
                self.dropped += 1
                return
            self._waiting.append(item)
            self._changed.notify()

    @property
    def idle(self) -> bool:
        """Whether the faces have seen all that was put."""
        with self._changed:
            return not self._waiting and not self._showing

    def close(self) -> None:
        """Returns when the faces have seen all, or after a few seconds."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(CLOSING_S)
        if self.dropped:
            tell(f"{self.dropped} {self._what} were not shown: the faces could not keep up")

    def _run(self) -> None:
        while True:
            with self._changed:
                self._showing = False
                while not self._waiting and not self._closing:
                    self._changed.wait()
                if not self._waiting:
                    return
                item = self._waiting.popleft()
                self._showing = True
            try:
                records = self._make(item)
            except Exception as error:
                self._complain(f"the diagnosis of {self._what}", error)
                continue
            for record in records:
                for face in self._faces:
                    self._show(face, record)

    def _show(self, face: Callable[[Record], None], record: Record) -> None:
        try:
            face(record)
        except BaseException as error:  # sys.exit() in a face must not end the faces of all
            self._complain(getattr(face, "__qualname__", type(face).__name__), error)

    def _complain(self, what: str, error: BaseException) -> None:
        if what not in self._told:
            self._told.add(what)
            tell(f"{what} failed: {type(error).__name__}: {error}; detection goes on, and this is said once")


def tell(text: str) -> None:
    """One line on standard error, which may be closed or missing."""
    if sys.stderr is None:  # print() would take standard output
        return
    try:
        print(f"loophound: {text}", file=sys.stderr, flush=True)  # noqa: T201
    except (OSError, ValueError, AttributeError):
        return

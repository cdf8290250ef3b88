"""One observer for all workers of a supervisor: the supervisor's handle."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from loophound.dashboards.feed.place import make_directory, runtime_directory
from loophound.detector.stream import tell
from loophound.observer.control import ControlEnd
from loophound.observer.hosting import Hosting, remove
from loophound.observer.launch import launch

BACKLOG = 128
WHAT_IS_LOST = "hung workers are not diagnosed from outside, and the feed has ended"


def start(hosting: Hosting | None, attach_at: Path | None = None) -> Observer:
    """Start an observer that ends with this process, with what `hosting` shows, which stays the caller's.

    Workers attach at the socket `attach_at`, which
    is made; by default one in the runtime directory. Raises ConfigError or OSError.
    """
    if attach_at is None:
        directory = runtime_directory()
        make_directory(directory)
        attach_at = directory / f"{os.getpid()}.attach"
    return Observer(hosting, attach_at)


class Observer:
    """Asks the observer process about the workers. Not thread-safe.

    The listening socket is held here too, so workers can attach while the observer is started again.
    """

    def __init__(self, hosting: Hosting | None, attach_at: Path) -> None:
        self.attach_at = attach_at
        self._made_in = os.getpid()
        self._hosting = hosting
        self._restarts = 0
        with suppress(FileNotFoundError):
            attach_at.unlink()  # of a process that had the same id
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(attach_at))
        attach_at.chmod(0o600)  # before it listens: until then nobody can connect
        self._listener.listen(BACKLOG)
        self._inode = attach_at.stat().st_ino
        self._control = self._launch()

    def _launch(self) -> ControlEnd:
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                sockets = {"listener": self._listener.fileno(), "control": theirs.fileno()}
                settings: dict[str, Any] = {"attach_path": str(self.attach_at), "attach_inode": self._inode}
                if self._hosting is not None:
                    settings |= self._hosting.settings()
                    sockets |= self._hosting.descriptors()
                launch(settings, sockets)
        except BaseException:
            ours.close()
            raise
        return ControlEnd(ours)

    def workers(self, timeout_s: float = 1.0) -> list[dict[str, Any]]:
        """Each attached process: "worker", "pid" and "loops", a list of states as in the feed.

        Empty when the observer does not answer in time.
        """
        return self._control.ask({"ask": "workers"}, timeout_s) or []

    def diagnose(self, pid: int, timeout_s: float = 5.0, *, by_proxy: bool = False) -> dict[str, Any] | None:
        """What holds a worker now, read from outside: "loops" as above, "stalls" (records that are
        ongoing), "threads" (name, kernel_state, syscall, target, stack). None when it is not attached,
        by itself or else `by_proxy`, or the observer does not answer.
        """
        asked = {"ask": "diagnose", "pid": pid, "by_proxy": by_proxy}
        answer: dict[str, Any] | None = self._control.ask(asked, timeout_s)
        return answer

    def tell(self, message: Mapping[str, Any]) -> None:
        """Publish a message of the feed, such as the new state of a worker."""
        self._control.tell(dict(message))

    def check(self) -> bool:
        """Whether it runs; one that has ended is started again, once. Call it now and then."""
        if self._control.open:
            return True
        if self._restarts == 0:
            self._restarts = 1
            tell("the observer process has ended unexpectedly: it is started again")
            try:
                self._control.close()
                self._control = self._launch()
                return True
            except (OSError, subprocess.CalledProcessError) as error:
                tell(f"the observer process could not be started again ({error}): {WHAT_IS_LOST}")
                self._restarts = 2
        elif self._restarts == 1:
            self._restarts = 2
            tell(f"the observer process has ended again, and is not started any more: {WHAT_IS_LOST}")
        return False

    def close(self) -> None:
        """The observer ends when it reads the end of the socket."""
        self._control.close()
        self._listener.close()
        if os.getpid() == self._made_in:  # not in a forked worker
            remove(self.attach_at, self._inode)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

"""What a worker that hangs is doing, written down before it is replaced: its evidence would die with it.

The observer process reads it from outside, also while a C call holds the GIL, or the worker
is stopped. Loaded when the first worker hangs, but for the observer, which must have been
there before.
"""

from __future__ import annotations

import logging
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loophound.config import Config
from loophound.errors import ConfigError
from loophound.supervisor import introduction, kernel
from loophound.supervisor.processes import Child, Running
from loophound.supervisor.vigil import Condition

if TYPE_CHECKING:
    from loophound.detector.records import Stall
    from loophound.observer.hosting import Hosting
    from loophound.observer.supervise import Observer

logger = logging.getLogger("loophound.supervisor")

PATIENCE_S = 3.0
MOST_LOOKS = 6
DEEPEST = 12  # frames of a thread that are told

Found = dict[str, Any]  # the observer's answer, as loophound.observer.supervise.Observer.diagnose() has it


class Examiner:
    """Starts the observer of all workers, where the configuration has them watched; else when one of them hangs."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._observer: Observer | None = None
        self._faces: list[Any] = []
        self._hosting: Hosting | None = None
        self._tried = False
        if config.threshold_ms is not None or config.hang_watch is not None:
            from loophound.cli.hosting import hosting_of

            self._start(hosting_of(config))

    def _start(self, hosting: Hosting | None) -> None:
        from loophound.observer import supervise
        from loophound.observer.hosting import Hosting

        self._tried = True
        # Without a feed, too, the observer has to know for whom it works.
        self._hosting = hosting or Hosting(feed=False)
        try:
            self._observer = supervise.start(self._hosting)
        except (OSError, subprocess.CalledProcessError, ConfigError) as error:
            logger.warning("No observer process (%s): the stacks of hung workers are not read", error)

    @property
    def attach_at(self) -> str | None:
        """Where workers attach to the observer."""
        return str(self._observer.attach_at) if self._observer is not None else None

    def check(self) -> None:
        """Now and then: see that the observer lives."""
        if self._observer is not None:
            self._observer.check()

    def gone(self, worker: int, pid: int, why: str) -> None:
        """Readers of the feed hear why a worker is no more; of its coming it tells by itself."""
        if self._observer is not None:
            from loophound.times import now_iso

            message = {"type": "worker", "worker": worker, "pid": pid, "state": "gone", "at": now_iso(), "why": why}
            self._observer.tell(message)

    def close(self) -> None:
        if self._observer is not None:
            self._observer.close()
        if self._hosting is not None:
            self._hosting.close()
        for face in self._faces:
            face.close()

    def examine(self, running: Running, condition: Condition, silent_s: float) -> bool:
        """Write down what the worker does; true when a debugger is at work in it, or it has just ended."""
        found = self._observer.diagnose(running.pid, PATIENCE_S) if self._observer is not None else None
        if not found or not found["stalls"] or (condition is Condition.HUNG and not _accuses(found)):
            # The watch of it is not loaded yet, or has seen too little of it.
            patient = condition is Condition.HUNG
            found = self._from_here(running, running.pulse.turned_ns / 1e9, patient=patient) or found
        if _is_debugged(found) or kernel.state(running.pid) == kernel.ENDED:
            return True
        how = "is stopped by a signal" if condition is Condition.STOPPED else "hangs"
        who = running.who
        logger.error("%s %s: its event loop has not turned for %.1f s", who, how, silent_s)
        self._write_down(running, found)
        return False

    def examine_start(self, running: Child, took_s: float) -> bool:
        """The same of a worker that does not serve yet. Only its main thread's stack is a stall's."""
        found = self._from_here(running, running.since_s, patient=False)
        if _is_debugged(found):
            return True
        logger.error("%s has been starting for %.1f s, and does not serve yet", running.who, took_s)
        if found is not None:
            # A lifespan that waits for something leaves the loop idle: where its tasks wait is not on the stack.
            found["stalls"] = [stall for stall in found["stalls"] if not _rests(stall)]
            for stall in found["stalls"]:
                stall["remedy"] = None  # those are for a loop that runs
        self._write_down(running, found)
        return False

    def _from_here(self, running: Child, since_s: float, *, patient: bool) -> Found | None:
        """What can be seen of a worker that is not under watch by itself.

        On a crowded machine a moment may show nothing but that it waits for a CPU, which it has been cleared of: who
        is `patient` looks some times.
        """
        who = running.introduction
        if who is not None and not self._tried:
            self._start(None)
        if who is None or self._observer is None:
            return None
        from loophound.observer.places import CalibrationError

        try:
            with introduction.watched(self._observer.attach_at, who, running.pid, running.worker, since_s):
                for _ in range(MOST_LOOKS):
                    found = self._observer.diagnose(running.pid, PATIENCE_S, by_proxy=True)
                    if _accuses(found) or _is_debugged(found) or (found is not None and not patient):
                        break
                    time.sleep(introduction.SAMPLING_S)
                return found
        except (OSError, CalibrationError) as error:
            logger.debug("The stack of %s cannot be read: %s", running.who, error)
            return None

    def _write_down(self, running: Child, found: Found | None) -> None:
        stalls = self._stalls(found)
        for stall in stalls:
            for face in self._get_faces():
                try:
                    face(stall)
                except Exception as error:  # a full disk, say: the worker has to be replaced all the same
                    logger.warning("%s: its stall could not be told (%s)", running.who, error)
        if not stalls:
            who = running.who
            logger.error("%s: %s", who, kernel.account(running.pid))
            for thread in found["threads"] if found else ():
                logger.error("%s: %s", who, _thread(thread))

    def _stalls(self, found: Found | None) -> list[Stall]:
        """The records, closed: nobody else will tell their end."""
        if not found:
            return []
        from loophound.detector.records import Stall

        return [replace(Stall.from_dict(stall), ongoing=False) for stall in found["stalls"]]

    def _get_faces(self) -> list[Any]:
        if not self._faces:
            from loophound.cli.detection import keeper, log_face
            from loophound.dashboards.recorder import RecordFile

            self._faces.append(log_face(self._config.log_format))
            try:
                if self._config.record is not None:
                    self._faces.append(RecordFile(self._config.record))
                if self._config.ledger is not None:
                    ledger = keeper(self._config.ledger, lambda text: logger.warning("%s", text))
                    ledger.start()
                    self._faces.append(ledger)
            except ConfigError as problem:  # that could be when the server started
                logger.warning("%s", problem)
        return self._faces


def _accuses(found: Found | None) -> bool:
    return found is not None and any(not stall["innocent"] for stall in found["stalls"])


def _rests(stall: dict[str, Any]) -> bool:
    """Whether this is a loop that waits for events."""
    return str(stall["evidence"]["syscall"]).startswith("epoll") and not any(frame["app"] for frame in stall["stack"])


def _is_debugged(found: Found | None) -> bool:
    return found is not None and any(_debugs(frame["file"]) for thread in found["threads"] for frame in thread["stack"])


def _debugs(file: str) -> bool:
    from loophound.detector.blame import DEBUGGERS

    return any(marker in file for marker in DEBUGGERS)


def _thread(thread: dict[str, Any]) -> str:
    frames = [f"{Path(frame['file']).name}:{frame['line']} in {frame['function']}" for frame in thread["stack"]]
    call = f", in {thread['syscall']}" if thread["syscall"] else ""
    where = " > ".join(frames[-DEEPEST:]) or "no stack could be read"
    return f"thread {thread['name']} (state {thread['kernel_state']}{call}): {where}"

"""Starting workers and hearing of their end. Each is a new interpreter: no thread, lock or socket is forked along."""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import loophound
from loophound.config import Config
from loophound.errors import ConfigError
from loophound.supervisor.control import Control
from loophound.supervisor.handover import Handover
from loophound.supervisor.introduction import Introduction
from loophound.supervisor.pulse import Pulse
from loophound.supervisor.worker import Setup

PR_SET_CHILD_SUBREAPER = 36
FORK_S = 10.0  # what a nursery may take to fork: it does nothing else


@dataclass(slots=True)
class Child:
    """A process of ours that runs the application's code, or will; worker 0 is the nursery."""

    worker: int
    pid: int
    control: Control
    since_s: float = field(default_factory=time.monotonic, kw_only=True)
    introduction: Introduction | None = field(default=None, kw_only=True)

    @property
    def who(self) -> str:
        name = f"Worker {self.worker}" if self.worker else "The process that imports the application"
        return f"{name} (pid {self.pid})"

    def introduced(self, text: str) -> None:
        """Its first words have come."""
        if self.introduction is None and self.control.descriptors:
            self.introduction = Introduction.from_message(text, self.control.descriptors.pop())

    def close(self) -> None:
        self.control.close()
        if self.introduction is not None:
            self.introduction.close()


@dataclass(slots=True)
class Running(Child):
    """A worker's process, and what connects it with this one."""

    pulse: Pulse

    def close(self) -> None:
        Child.close(self)
        self.pulse.close()


class Spawner:
    """Starts interpreters; keeps one warm, with everything but the application loaded, where `spare` is set."""

    def __init__(self, config: Config, handover: Handover, *, observer: str | None = None, spare: bool = False) -> None:
        self._config = config
        self._handover = handover
        self._observer = observer
        self._spare = spare
        self._warm: tuple[subprocess.Popen[bytes], Control, Pulse] | None = None
        self._children: dict[int, subprocess.Popen[bytes] | None] = {}
        try:
            pickle.dumps(config)
        except Exception as error:
            raise ConfigError(f"workers cannot be given this configuration: {error}") from None

    def spawn(self, worker: int, listeners: Sequence[socket.socket]) -> Running:
        """A new worker. Raises OSError when the system has no process to give."""
        process, control, pulse = self._warm or self._start(listeners)
        self._warm = None
        with contextlib.suppress(OSError):  # it has died by now, which its end will tell
            control.socket.send(pickle.dumps(self._setup(worker, listeners, pulse)))
        return Running(worker, process.pid, control, pulse)

    def _setup(self, worker: int, listeners: Sequence[socket.socket], pulse: Pulse | None) -> Setup:
        return Setup(
            config=self._config,
            worker=worker,
            parent=os.getpid(),
            path=sys.path,
            arguments=sys.argv,
            python_path=os.environ.get("PYTHONPATH"),
            listeners=[sock.fileno() for sock in listeners],
            pulse=pulse.descriptor if pulse is not None else -1,
            handover=self._handover.descriptors,
            observer=self._observer,
            reloads=self._spare,
        )

    def warm_up(self, listeners: Sequence[socket.socket]) -> None:
        """Start the spare, so that the next spawn() need not wait for an interpreter."""
        if self._spare and self._warm is None:
            self._warm = self._start(listeners)

    def _start(self, listeners: Sequence[socket.socket]) -> tuple[subprocess.Popen[bytes], Control, Pulse]:
        control, theirs = Control.pair()
        pulse = Pulse.create()
        with theirs:
            process = self._run("worker", theirs, listeners, pulse.descriptor)
        return process, control, pulse

    def _run(
        self, module: str, channel: socket.socket, listeners: Sequence[socket.socket], *further: int
    ) -> subprocess.Popen[bytes]:
        descriptors = [channel.fileno(), *self._handover.descriptors, *further]
        descriptors += [sock.fileno() for sock in listeners]
        home = str(Path(loophound.__file__).parent.parent)
        path = os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH", ""))))
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # as multiprocessing does
        process = subprocess.Popen(
            [sys.executable, *flags, "-P", "-m", f"loophound.supervisor.{module}", str(channel.fileno())],
            pass_fds=descriptors,
            env={**os.environ, "PYTHONPATH": path},
        )
        self._children[process.pid] = process
        return process

    def ended(self) -> Iterator[tuple[int, int]]:
        """Children that have ended since: pid and exit code. As process 1, everybody's orphans are reaped too."""
        wanted = [-1] if os.getpid() == 1 else list(self._children)
        for pid in wanted:
            while True:
                try:
                    found, status = os.waitpid(pid, os.WNOHANG)
                except ChildProcessError:
                    break
                if not found:
                    break
                code = os.waitstatus_to_exitcode(status)
                if found not in self._children:
                    continue
                child = self._children.pop(found)
                if child is not None:
                    child.returncode = code
                if self._warm is not None and self._warm[0] is child:
                    self._drop_spare()
                else:
                    yield found, code

    def kill(self, pid: int, number: int = signal.SIGKILL) -> None:
        """Only of a child that was not waited for: its number cannot be another process's by now."""
        if pid in self._children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _drop_spare(self) -> None:
        if self._warm is not None:
            _, control, pulse = self._warm
            self._warm = None
            control.close()  # which ends it
            pulse.close()

    def close(self) -> None:
        """Let the spare go, and wait for it."""
        if self._warm is not None:
            process = self._warm[0]
            self._drop_spare()
            process.kill()
            process.wait()
            self._children.pop(process.pid, None)


class PreloadingSpawner(Spawner):
    """Forks workers from a nursery, a process that has imported the application."""

    def __init__(
        self, config: Config, handover: Handover, listeners: Sequence[socket.socket], *, observer: str | None = None
    ) -> None:
        super().__init__(config, handover, observer=observer)
        if not adopt_orphans():
            raise ConfigError("--preload wants Linux: elsewhere nobody adopts the workers")
        self._listeners = listeners
        self._nursery: Child | None = None

    def raise_nursery(self) -> Child:
        """A new one, which imports the application now; it is used from `settle()` on."""
        control, theirs = Control.pair()
        with theirs:
            process = self._run("nursery", theirs, self._listeners)
        control.socket.send(pickle.dumps(self._setup(0, self._listeners, None)))
        return Child(0, process.pid, control)

    def settle(self, nursery: Child) -> None:
        """It is ready: from now on it forks, and the one before it ends."""
        self.release()
        self._nursery = nursery

    @property
    def nursery_pid(self) -> int | None:
        return self._nursery.pid if self._nursery is not None else None

    def release(self) -> None:
        if self._nursery is not None:
            self._nursery.close()
            self._nursery = None

    def spawn(self, worker: int, listeners: Sequence[socket.socket]) -> Running:
        if self._nursery is None:
            raise OSError(0, "the process that holds the application is gone")
        control, theirs = Control.pair()
        pulse = Pulse.create()
        channel = self._nursery.control.socket
        setup = pickle.dumps(self._setup(worker, listeners, None))
        with theirs:
            socket.send_fds(channel, [setup], [theirs.fileno(), pulse.descriptor])
        if not select.select([channel], [], [], FORK_S)[0]:
            raise OSError(0, "the process that holds the application does not answer")
        answers = self._nursery.control.receive() or [("", "")]
        if answers[0][0] != "forked":
            raise OSError(0, "the process that holds the application has ended")
        pid = int(answers[0][1])
        self._children[pid] = None
        return Running(worker, pid, control, pulse)

    def close(self) -> None:
        self.release()
        super().close()


def adopt_orphans() -> bool:
    """Have descendants whose parent has ended become children of this process (prctl(2), PR_SET_CHILD_SUBREAPER)."""
    if sys.platform != "linux":
        return False
    import ctypes

    libc: Any = ctypes.CDLL(None, use_errno=True)
    return bool(libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)

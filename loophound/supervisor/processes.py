"""Starting workers and hearing of their end. Each is a new interpreter: no thread, lock or socket is forked along."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import loophound
from loophound.config import Config
from loophound.errors import ConfigError
from loophound.supervisor.control import Control
from loophound.supervisor.handover import Handover
from loophound.supervisor.pulse import Pulse
from loophound.supervisor.worker import Setup


@dataclass(slots=True)
class Running:
    """A worker's process, and what connects it with this one."""

    worker: int
    pid: int
    control: Control
    pulse: Pulse
    process: subprocess.Popen[bytes] | None = None

    def close(self) -> None:
        self.control.close()
        self.pulse.close()


class Spawner:
    """Starts interpreters; keeps one warm, with everything but the application loaded, where `spare` is set."""

    def __init__(self, config: Config, handover: Handover, *, observer: str | None = None, spare: bool = False) -> None:
        self._config = config
        self._handover = handover
        self._observer = observer
        self._spare = spare
        self._warm: tuple[subprocess.Popen[bytes], Control, Pulse] | None = None
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        try:
            pickle.dumps(config)
        except Exception as error:
            raise ConfigError(f"workers cannot be given this configuration: {error}") from None

    def spawn(self, worker: int, listeners: Sequence[socket.socket]) -> Running:
        """A new worker. Raises OSError when the system has no process to give."""
        process, control, pulse = self._warm or self._start(listeners)
        self._warm = None
        setup = Setup(
            config=self._config,
            worker=worker,
            parent=os.getpid(),
            path=sys.path,
            arguments=sys.argv,
            python_path=os.environ.get("PYTHONPATH"),
            listeners=[sock.fileno() for sock in listeners],
            pulse=pulse.descriptor,
            handover=self._handover.descriptors,
            observer=self._observer,
            reloads=self._spare,
        )
        with contextlib.suppress(OSError):  # it has died by now, which its end will tell
            control.socket.send(pickle.dumps(setup))
        return Running(worker, process.pid, control, pulse, process)

    def warm_up(self, listeners: Sequence[socket.socket]) -> None:
        """Start the spare, so that the next spawn() need not wait for an interpreter."""
        if self._spare and self._warm is None:
            self._warm = self._start(listeners)

    def _start(self, listeners: Sequence[socket.socket]) -> tuple[subprocess.Popen[bytes], Control, Pulse]:
        control, theirs = Control.pair()
        pulse = Pulse.create()
        descriptors = [theirs.fileno(), pulse.descriptor, *self._handover.descriptors]
        descriptors += [sock.fileno() for sock in listeners]
        home = str(Path(loophound.__file__).parent.parent)
        path = os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH", ""))))
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # as multiprocessing does
        with theirs:
            process = subprocess.Popen(
                [sys.executable, *flags, "-P", "-m", "loophound.supervisor.worker", str(theirs.fileno())],
                pass_fds=descriptors,
                env={**os.environ, "PYTHONPATH": path},
            )
        self._children[process.pid] = process
        return process, control, pulse

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
                child = self._children.pop(found, None)
                if child is None:
                    continue
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

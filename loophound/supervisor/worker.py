"""What runs in a worker: `python -m loophound.supervisor.worker DESCRIPTOR`.

A process of its own from the first instruction on: nothing of the supervisor is in it but
the descriptors that it was given. The first message on the control socket says the rest.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import select
import signal
import socket
import sys
from dataclasses import dataclass
from typing import Any, NoReturn

from loophound.config import Config
from loophound.errors import LoophoundError
from loophound.supervisor.control import LARGEST_BYTES, Control
from loophound.supervisor.handover import Handover
from loophound.supervisor.introduction import introduce
from loophound.supervisor.pulse import Pulse
from loophound.supervisor.seat import WorkerSeat

PR_SET_PDEATHSIG = 1  # prctl(2)


@dataclass(frozen=True, slots=True)
class Setup:
    """What a worker is told at its start. The descriptors are those that it has inherited."""

    config: Config
    worker: int
    parent: int
    path: list[str]
    arguments: list[str]
    python_path: str | None  # as it was before the supervisor had to change it for this process
    listeners: list[int]
    pulse: int
    handover: tuple[int, int]
    observer: str | None = None  # where to attach to the supervisor's observer
    reloads: bool = False


def main(descriptor: int) -> int:
    quiet_terminal()
    control_socket = socket.socket(fileno=descriptor)
    _preload()
    select.select([control_socket], [], [])  # a spare waits here until it is wanted
    data = control_socket.recv(LARGEST_BYTES)
    if not data:
        return 0  # not wanted, or nobody is left to want it
    return serve(Control(control_socket), pickle.loads(data))


def quiet_terminal() -> None:
    """Ctrl-C and a hang-up go to the whole foreground group; the supervisor says what becomes of them."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _preload() -> None:
    """Load what every worker needs, before it is known what it serves."""
    with contextlib.suppress(ImportError):
        import uvloop  # noqa: F401
    from loophound import serving  # noqa: F401
    from loophound.server import server  # noqa: F401


def adopt_setup(setup: Setup) -> None:
    """Be, for the application, as the process that the user has started."""
    sys.path[:] = setup.path
    sys.argv[:] = setup.arguments
    # Compiled code is told from newer source by whole seconds and the size, which two quick saves may share.
    sys.dont_write_bytecode |= setup.reloads
    os.environ.pop("PYTHONPATH", None)
    if setup.python_path is not None:
        os.environ["PYTHONPATH"] = setup.python_path


def serve(control: Control, setup: Setup, pulse: int | None = None) -> int:
    """Serve until told to leave; the exit code. `pulse` is the descriptor where it came later than the others."""
    from loophound import serving
    from loophound.server import logs

    adopt_setup(setup)
    if not end_with(setup.parent):
        return 0
    introduce(control)
    handover = Handover(*map(_socket, setup.handover))
    seat = WorkerSeat(setup.worker, control, Pulse(setup.pulse if pulse is None else pulse), handover)
    signal.signal(signal.SIGUSR1, lambda *_: logs.reopen())
    config = setup.config
    try:
        logs.configure(config, setup.worker)
        signal.signal(signal.SIGTERM, lambda *_: seat.terminated())
        listeners = [_socket(fd) for fd in setup.listeners]
        serving.serve_here(config, worker=setup.worker, seat=seat, sockets=listeners, observer=setup.observer)
    except LoophoundError as error:
        if seat.was_terminated:  # what the import or the lifespan made of it is no problem of theirs
            return 0
        control.send("problem", str(error))
        return error.exit_code
    except SystemExit as leave:
        return leave.code if isinstance(leave.code, int) else 0
    finally:
        if seat.was_terminated:
            control.send("problem", "it was asked to end by SIGTERM while it started")
    return 0


def end_with(parent: int) -> bool:
    """Have the kernel end this process when `parent` ends, also by SIGKILL; False when it has ended by now.

    Nothing milder is certain: a worker that hangs with the GIL held runs no handler, and no thread.
    """
    if sys.platform == "linux":
        import ctypes

        libc: Any = ctypes.CDLL(None, use_errno=True)
        libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    return os.getppid() == parent


def _socket(descriptor: int) -> socket.socket:
    sock = socket.socket(fileno=descriptor)
    sock.setblocking(False)
    return sock


def leave(code: int) -> NoReturn:
    logging.shutdown()
    sys.exit(code)


if __name__ == "__main__":
    leave(main(int(sys.argv[1])))

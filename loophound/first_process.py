"""Process 1 of a container: nobody else waits for the processes that are left to it (pid_namespaces(7)).

A server alone cannot do that for itself: waiting for whatever ends would take the application's own
children from it. So it runs in a process of its own, and the first one waits, and passes
signals on. A supervisor has no line of the application in it, and is process 1 itself.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import NoReturn

PASSED_ON = (
    *(signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM),
    *(signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH, signal.SIGCONT),
)


def wait_in_front() -> None:
    """As process 1, go on in a child, and never return in the first process; as any other, do nothing."""
    if os.getpid() != 1:
        return
    sys.stdout.flush()
    sys.stderr.flush()
    child = 0

    def pass_on(number: int, frame: FrameType | None) -> None:
        if child:
            os.kill(child, number)

    before = {number: signal.signal(number, pass_on) for number in PASSED_ON}
    child = os.fork()
    if child:
        _reap_until(child)
    _take_the_terminal()
    for number, handler in before.items():
        signal.signal(number, signal.SIG_DFL if handler is None else handler)
    if os.environ.get("LISTEN_PID") == "1":  # sd_listen_fds(3): the sockets are for the server
        os.environ["LISTEN_PID"] = f"{os.getpid()}"


def _take_the_terminal() -> None:
    """Its signals go to the whole foreground group: alone in one, the server hears each of them once."""
    os.setpgid(0, 0)
    if os.isatty(0):
        before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        with suppress(OSError):  # not our own terminal
            os.tcsetpgrp(0, os.getpgrp())
        signal.signal(signal.SIGTTOU, before)


def _reap_until(child: int) -> NoReturn:
    """Wait for everybody; the end of `child` is ours."""
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)  # as a shell has it

"""`--preload`: a process that imports the application once, and forks the workers.

It is not the supervisor: that one stays free of the application's code, and of what its
import leaves behind. Each replacement of all workers begins with a new nursery, so that new
code is taken. What the garbage collector knows is frozen before the forks, so that it does
not touch, and thereby copy, what all workers share.

A worker is forked twice, and adopted by the supervisor (prctl(2), PR_SET_CHILD_SUBREAPER): it
lives on when its nursery has ended, and is waited for as any other.
"""

from __future__ import annotations

import gc
import logging
import os
import pickle
import socket
import sys
import threading
import time

from loophound.errors import LoophoundError
from loophound.supervisor.control import LARGEST_BYTES, Control
from loophound.supervisor.introduction import introduce
from loophound.supervisor.worker import Setup, adopt_setup, end_with, leave, quiet_terminal, serve

logger = logging.getLogger("loophound.supervisor")

ADOPTION_S = 5.0


def main(descriptor: int) -> int:
    quiet_terminal()
    channel = socket.socket(fileno=descriptor)
    data = channel.recv(LARGEST_BYTES)
    if not data:
        return 0
    setup: Setup = pickle.loads(data)
    control = Control(channel)
    adopt_setup(setup)
    if not end_with(setup.parent):
        return 0
    introduce(control)
    try:
        _load(setup)
    except LoophoundError as error:
        control.send("problem", str(error))
        return error.exit_code
    gc.collect()
    gc.freeze()
    control.send("ready")
    channel.setblocking(True)
    while True:
        data, descriptors, _, _ = socket.recv_fds(channel, LARGEST_BYTES, 2)
        if not data:
            return 0
        reader, writer = os.pipe()
        first = os.fork()
        if first == 0:
            second = os.fork()
            if second != 0:
                os.write(writer, b"%d" % second)
                os._exit(0)
            for fd in (reader, writer):
                os.close(fd)
            channel.close()
            return _grow_up(pickle.loads(data), *descriptors)
        os.waitpid(first, 0)
        for fd in (*descriptors, writer):
            os.close(fd)
        control.send("forked", os.read(reader, 20).decode())
        os.close(reader)


def _load(setup: Setup) -> None:
    from loophound import serving  # noqa: F401 - what workers need, too
    from loophound.server import logs
    from loophound.server.importer import import_attribute, set_path

    logs.configure(setup.config)
    set_path(setup.config)
    import_attribute(setup.config.app)
    if threading.active_count() > 1:
        names = ", ".join(thread.name for thread in threading.enumerate()[1:])
        logger.warning("--preload: the import has started threads that no worker will have: %s", names)


def _grow_up(setup: Setup, control: int, pulse: int) -> int:
    """What the worker is, once the supervisor has adopted it."""
    deadline_s = time.monotonic() + ADOPTION_S
    while os.getppid() != setup.parent and time.monotonic() < deadline_s:
        time.sleep(0.001)
    return serve(Control(socket.socket(fileno=control)), setup, pulse)


if __name__ == "__main__":
    leave(main(int(sys.argv[1])))

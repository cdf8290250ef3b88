"""Where the threads of this process stand, asked for without a collection meanwhile."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# Python 3.11 may collect wherever an object is made, later ones between instructions alone.
COLLECTS_ANYWHERE = sys.version_info < (3, 12)


@contextmanager
def uncollected() -> Iterator[None]:
    """Nothing is collected meanwhile, where a collection could hand the GIL over in the midst of a call of C code."""
    collects = COLLECTS_ANYWHERE and gc.isenabled()
    if collects:
        gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def current_frames() -> dict[int, FrameType]:
    """The innermost frame of each thread, by its ident, as `sys._current_frames()` gives it.

    Python 3.11 makes the frame objects while it holds the lock of all thread states. A collection then runs
    callbacks and finalizers, which let go of the GIL; a thread that begins takes it, and waits with it for that
    lock: nothing runs any more (seen on 3.11.7, with threads that come and go).
    """
    with uncollected():
        return sys._current_frames()

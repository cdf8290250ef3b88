"""The memory that a worker and its supervisor share: when the worker's loop last turned.

Not a message: a loop that hangs in C code with the GIL held sends none, and a worker that
is stopped reads none. CLOCK_MONOTONIC is one clock for all processes.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import time

SIZE_BYTES = mmap.PAGESIZE
_TURNED, _THREAD = range(2)


class Pulse:
    """Each word has one writer, the worker; eight bytes and aligned, so that no reader sees half of one."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._map = mmap.mmap(descriptor, SIZE_BYTES)
        self._words = memoryview(self._map).cast("q")

    @classmethod
    def create(cls) -> Pulse:
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("loophound-pulse", os.MFD_CLOEXEC)
        else:
            with tempfile.TemporaryFile() as file:
                descriptor = os.dup(file.fileno())
        os.ftruncate(descriptor, SIZE_BYTES)
        return cls(descriptor)

    def beat(self) -> None:
        self._words[_TURNED] = time.monotonic_ns()

    @property
    def turned_ns(self) -> int:
        """When the loop last turned; 0 before the server is ready."""
        return int(self._words[_TURNED])

    @property
    def thread(self) -> int:
        """The kernel's number of the thread that runs the loop."""
        return int(self._words[_THREAD])

    @thread.setter
    def thread(self, native_id: int) -> None:
        self._words[_THREAD] = native_id

    def close(self) -> None:
        self._words.release()
        self._map.close()
        os.close(self.descriptor)

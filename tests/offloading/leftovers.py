"""No test may leave a thread of a pool or a worker process behind."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


def ours() -> list[str]:
    threads = [thread.name for thread in threading.enumerate() if thread.name.startswith("loophound-offload")]
    return threads + [f"process {child.pid}" for child in multiprocessing.active_children()]


@contextmanager
def nothing_left() -> Iterator[None]:
    before = set(ours())
    yield
    deadline = time.monotonic() + 10
    while (left := [name for name in ours() if name not in before]) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not left

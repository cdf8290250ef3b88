"""No test may leave a thread of a pool or a worker process behind."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


def workers() -> list[int]:
    """The worker processes of this process, those that nobody reaped included."""
    lines = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(os.getpid())], capture_output=True, text=True
    )
    return [int(line.split()[0]) for line in lines.stdout.splitlines() if "loophound.offloading.worker" in line]


def ours() -> list[str]:
    threads = [thread.name for thread in threading.enumerate() if thread.name.startswith("loophound-offload")]
    return threads + [f"process {pid}" for pid in workers()]


@contextmanager
def nothing_left() -> Iterator[None]:
    before = set(ours())
    yield
    deadline = time.monotonic() + 10
    while (left := [name for name in ours() if name not in before]) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not left

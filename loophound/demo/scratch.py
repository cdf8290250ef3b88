"""A directory on a real disk, where a sync takes its time."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

TRIALS = 20


def slowest_to_sync() -> Path:
    """The writable directory with the slowest fsync(2): in a file system in memory it does nothing."""
    wanted = dict.fromkeys(Path(name) for name in (tempfile.gettempdir(), "/var/tmp", Path.home(), "."))
    usable = [folder for folder in wanted if folder.is_dir() and os.access(folder, os.W_OK)]
    return max(usable, key=sync_time_s)


def sync_time_s(folder: Path) -> float:
    """Seconds for a few small synced writes in `folder`."""
    with tempfile.TemporaryFile(dir=folder) as file:
        began = time.perf_counter()
        for _ in range(TRIALS):
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
        return time.perf_counter() - began

"""A directory on a real disk, where a sync takes its time."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

TRIALS = 20
DISK_SYNC_S = 20e-6  # a file system in memory takes about 2 µs, a fast disk 70


def folder_on_disk() -> Path:
    """A new directory, in the first place where fsync(2) does something; its caller removes it."""
    wanted = dict.fromkeys(Path(name) for name in (tempfile.gettempdir(), "/var/tmp", Path.home(), "."))
    usable = [place for place in wanted if place.is_dir() and os.access(place, os.W_OK)]
    on_disk = (place for place in usable if sync_time_s(place) >= TRIALS * DISK_SYNC_S)
    return Path(tempfile.mkdtemp(prefix="loophound-demo-", dir=next(on_disk, usable[0])))


def sync_time_s(folder: Path) -> float:
    """Seconds for a few small synced writes in `folder`."""
    with tempfile.TemporaryFile(dir=folder) as file:
        began = time.perf_counter()
        for _ in range(TRIALS):
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
        return time.perf_counter() - began

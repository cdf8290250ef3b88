"""The signal by which the main thread is interrupted, for those who handle it and those who send it."""

from __future__ import annotations

import ctypes
import signal

# Ignored where nobody handles it, so that one that comes late harms nobody; few programs use it.
SIGNAL: signal.Signals | None = getattr(signal, "SIGURG", None)


def send_to_thread(pid: int, native_id: int) -> None:
    """To one thread of another process, tgkill(2); nothing happens where the C library has no such call."""
    if SIGNAL is None:
        return
    try:
        ctypes.CDLL(None).tgkill(pid, native_id, int(SIGNAL))
    except (OSError, AttributeError):
        return

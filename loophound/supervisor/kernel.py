"""What the kernel tells of another process (proc(5)); where there is no /proc, nothing, and no error."""

from __future__ import annotations

import os
from functools import cache

MEBIBYTE = 1 << 20
ENDED = "Z"  # a state: its parent has not heard of it yet


@cache
def _page_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE")


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def state(pid: int) -> str:
    """One letter: R, S, D, T (stopped), t (traced), Z; empty when the process is gone."""
    return _read(f"/proc/{pid}/stat").rpartition(") ")[2][:1]


def is_traced(pid: int) -> bool:
    _, _, tracer = _read(f"/proc/{pid}/status").partition("TracerPid:")
    return tracer.split(None, 1)[:1] not in ([], ["0"])


def starved_s(pid: int, thread: int) -> float:
    """How long the thread has been ready to run without a CPU, in all."""
    words = _read(f"/proc/{pid}/task/{thread}/schedstat").split()
    return int(words[1]) / 1e9 if len(words) > 1 else 0.0


def account(pid: int) -> str:
    """What the kernel says of a process whose main thread hangs, in a line."""
    call = _read(f"/proc/{pid}/syscall").split()[:1]
    where = _read(f"/proc/{pid}/wchan").strip("0")
    words = [f"the kernel has it in state {state(pid) or 'unknown'}"]
    words += [f"system call {call[0]}"] if call and call[0].isdigit() else []
    words += [f"waiting in {where}"] if where else []
    return ", ".join(words)


def resident_bytes(pid: int) -> int:
    words = _read(f"/proc/{pid}/statm").split()
    return int(words[1]) * _page_bytes() if len(words) > 1 else 0

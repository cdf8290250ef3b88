"""System calls by number, as /proc/PID/task/TID/syscall tells them (proc_pid_syscall(5)),
and what a thread that stands in one is waiting for.
"""

from __future__ import annotations

from enum import Enum, auto

from loophound.detector.facts import Waiting


class Wait(Enum):
    """What a blocked thread waits for."""

    SLEEP = auto()
    LOCK = auto()
    IO = auto()
    GIL = auto()  # ready to run Python, while another thread does


# The calls in which a Python thread is commonly found. Numbers: x86-64 from the kernel's
# syscall_64.tbl, aarch64 from its generic table (include/uapi/asm-generic/unistd.h).
X86_64 = {
    0: "read", 1: "write", 7: "poll", 17: "pread64", 18: "pwrite64", 19: "readv", 20: "writev", 23: "select",
    26: "msync", 35: "nanosleep", 40: "sendfile", 42: "connect", 43: "accept", 44: "sendto", 45: "recvfrom",
    46: "sendmsg", 47: "recvmsg", 56: "clone", 57: "fork", 58: "vfork", 59: "execve", 61: "wait4", 72: "fcntl",
    73: "flock", 74: "fsync", 75: "fdatasync", 76: "truncate", 77: "ftruncate", 78: "getdents", 82: "rename",
    87: "unlink", 128: "rt_sigtimedwait", 162: "sync", 202: "futex", 217: "getdents64", 230: "clock_nanosleep",
    232: "epoll_wait", 247: "waitid", 257: "openat", 262: "newfstatat", 263: "unlinkat", 270: "pselect6",
    271: "ppoll", 275: "splice", 277: "sync_file_range", 281: "epoll_pwait", 285: "fallocate", 288: "accept4",
    306: "syncfs", 326: "copy_file_range", 435: "clone3", 441: "epoll_pwait2",
}  # fmt: skip
AARCH64 = {
    22: "epoll_pwait", 25: "fcntl", 32: "flock", 35: "unlinkat", 45: "truncate", 46: "ftruncate", 47: "fallocate",
    56: "openat", 61: "getdents64", 63: "read", 64: "write", 65: "readv", 66: "writev", 67: "pread64",
    68: "pwrite64", 71: "sendfile", 72: "pselect6", 73: "ppoll", 76: "splice", 79: "newfstatat", 81: "sync",
    82: "fsync", 83: "fdatasync", 84: "sync_file_range", 95: "waitid", 98: "futex", 101: "nanosleep",
    115: "clock_nanosleep", 137: "rt_sigtimedwait", 202: "accept", 203: "connect", 206: "sendto",
    207: "recvfrom", 211: "sendmsg", 212: "recvmsg", 220: "clone", 221: "execve", 227: "msync", 242: "accept4",
    260: "wait4", 267: "syncfs", 285: "copy_file_range", 435: "clone3", 441: "epoll_pwait2",
}  # fmt: skip
TABLES = {"x86_64": X86_64, "aarch64": AARCH64, "arm64": AARCH64}

SLEEPS = frozenset({"nanosleep", "clock_nanosleep"})
LOCKS = frozenset({"futex"})
POLLS = frozenset({"poll", "ppoll", "select", "pselect6", "epoll_wait", "epoll_pwait", "epoll_pwait2"})
# Calls whose first argument is not a descriptor.
WITHOUT_DESCRIPTOR = (
    SLEEPS
    | LOCKS
    | frozenset({"poll", "ppoll", "select", "pselect6", "wait4", "waitid", "openat", "sync", "execve"})
    | frozenset({"clone", "clone3", "fork", "vfork", "rename", "unlink", "unlinkat", "truncate", "msync"})
    | frozenset({"rt_sigtimedwait", "newfstatat"})
)
CHILDREN = frozenset({"wait4", "waitid"})
GIL = "GIL"  # the target of a wait for the interpreter's lock


def wait_of(waiting: Waiting) -> Wait:
    """What a call waits for; every call that is neither a sleep nor a lock is IO."""
    if waiting.syscall in SLEEPS:
        return Wait.SLEEP
    if waiting.syscall in LOCKS and waiting.target == GIL:
        return Wait.GIL
    if waiting.syscall in LOCKS:
        return Wait.LOCK
    return Wait.IO

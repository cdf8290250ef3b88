"""What the kernel knows of a thread: CPU time, waiting for a CPU, the system call it stands in.

Sources: proc(5) for schedstat, syscall and stat; clock_getcpuclockid(3). Reads need no
privilege for threads of the own process. Where a source is missing, the answer is None.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import socket
import struct
import sys
from typing import Final

from loophound.detector.facts import Waiting
from loophound.detector.syscalls import CHILDREN, GIL, LOCKS, POLLS, TABLES, WITHOUT_DESCRIPTOR

_TABLE: Final = TABLES.get(platform.machine(), {})
_SMALL = 512
_LARGE = 4096
_SWITCHES: Final = re.compile(rb"^voluntary_ctxt_switches:\s*(\d+)", re.MULTILINE)
# The GIL is a field of the interpreter's runtime state, which is static; the locks of programs
# are on the heap. Measured on 3.11, 3.12 and 3.13, whose states are below 600 KiB.
_RUNTIME_BYTES = 1 << 20


def runtime_span() -> tuple[int, int]:
    """The addresses between which the interpreter keeps its runtime state; (0, 0) when it does not tell."""
    try:
        began = ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, "_PyRuntime"))
        if size := _symbol_bytes(began):
            return began, began + size
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
            heaps = [int(line.partition("-")[0], 16) for line in maps if line.endswith("[heap]\n")]
    except (AttributeError, ValueError, OSError):
        return 0, 0
    # Without address randomization the heap begins where the static data of the program ends.
    return began, min([began + _RUNTIME_BYTES, *(heap for heap in heaps if heap > began)])


class _Symbol(ctypes.Structure):
    """Elf64_Sym of elf(5)."""

    _fields_ = (
        ("name", ctypes.c_uint32),
        ("info", ctypes.c_ubyte),
        ("other", ctypes.c_ubyte),
        ("section", ctypes.c_uint16),
        ("value", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
    )


def _symbol_bytes(address: int) -> int:
    """The size of the symbol at an address, 0 where the C library does not tell; dladdr1(3) of glibc.

    Locks of programs may lie just behind the runtime: multiprocessing's are mapped where there is room.
    """
    try:
        dladdr1 = ctypes.CDLL(None).dladdr1
    except (OSError, AttributeError):
        return 0
    info, symbol, of_symbols = (ctypes.c_void_p * 4)(), ctypes.POINTER(_Symbol)(), 1
    found = dladdr1(ctypes.c_void_p(address), info, ctypes.byref(symbol), ctypes.c_int(of_symbols))
    return int(symbol.contents.size) if found and symbol and info[3] == address else 0


_OWN_RUNTIME: Final = runtime_span()
if sys.platform == "linux":  # elsewhere there is no proc(5) to read
    _pread: Final = ctypes.PyDLL(None).pread
    _pread.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_long)
    _pread.restype = ctypes.c_ssize_t


class ThreadProbe:
    """Reads one thread of a process; `pid` is "self", or another process's number and `runtime`
    then that process's `runtime_span()`.
    """

    def __init__(self, native_id: int, pid: str = "self", runtime: tuple[int, int] = _OWN_RUNTIME) -> None:
        self.native_id = native_id
        self._runtime = runtime
        self._proc = f"/proc/{pid}"
        self._task = f"{self._proc}/task/{native_id}"
        # An open file is read again with one call; opening it each time costs five times more.
        self._schedstat = _open(f"{self._task}/schedstat")
        self._syscall = _open(f"{self._task}/syscall")
        self._stat = _open(f"{self._task}/stat")
        self._status = _open(f"{self._task}/status")
        self._sees_calls = False

    def close(self) -> None:
        for descriptor in (self._schedstat, self._syscall, self._stat, self._status):
            if descriptor is not None:
                os.close(descriptor)
        self._schedstat = self._syscall = self._stat = self._status = None

    def cpu_and_runqueue_ns(self) -> tuple[int | None, int | None]:
        """Time on a CPU, and time runnable but waiting for one."""
        fields = _read(self._schedstat).split()
        return (int(fields[0]), int(fields[1])) if len(fields) >= 2 else (None, None)

    def switches(self) -> int | None:
        """How often it has given up its CPU to wait for something: for the GIL too, when it handed that over."""
        found = _SWITCHES.search(_read(self._status, _LARGE))
        return int(found[1]) if found else None

    def is_stopped(self) -> bool:
        """True while a signal or a tracer holds the thread (states T and t)."""
        return self.state() in ("T", "t")

    def state(self) -> str | None:
        """The kernel's letter, proc(5): R runs or wants to, S and D sleep, T and t are stopped."""
        text = _read(self._stat)
        return text[text.rfind(b")") + 2 :][:1].decode("ascii", "replace") or None

    def call(self) -> str | None:
        """The name of the system call in which the thread stands; None while it runs."""
        return _call(_read(self._syscall).split())

    def look(self, memory: int | None = None) -> tuple[Waiting | None, bool | None]:
        """The system call in which the thread stands, and whether it runs or wants to.

        Both None where the kernel does not tell.
        """
        waiting = self.waiting(memory)
        if waiting is not None:
            return waiting, False
        return None, True if self._sees_calls else None

    def waiting(self, memory: int | None = None) -> Waiting | None:
        """The system call in which the thread stands; None while it runs.

        `memory` is a descriptor of the process's memory, for the argument of poll(2).
        """
        fields = _read_freely(self._syscall).split()
        self._sees_calls = bool(fields)
        name = _call(fields)
        if name is None:
            return None
        first, second = int(fields[1], 16), int(fields[2], 16)
        if name in CHILDREN:
            known = name == "wait4" or first == os.P_PID
            return Waiting(name, self._child(first if name == "wait4" else second) if known else "child process")
        if name in POLLS:
            descriptor = _polled(first, second, memory) if name in ("poll", "ppoll") else None
            return Waiting(name, self._target(descriptor) if descriptor is not None else None)
        if name in LOCKS:
            return Waiting(name, GIL if self._runtime[0] <= first < self._runtime[1] else None)
        if name in WITHOUT_DESCRIPTOR or name not in _TABLE.values():
            return Waiting(name)
        return Waiting(name, self._target(first))

    def _child(self, pid: int) -> str | None:
        try:
            with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
                return f"child process {pid} ({file.read().strip()})"
        except OSError:
            return "child process"

    def _target(self, descriptor: int) -> str | None:
        try:
            link = os.readlink(f"{self._proc}/fd/{descriptor}")
        except OSError:
            return None
        if not link.startswith("socket:"):
            return link
        return peer_of(descriptor) if self._proc == "/proc/self" else None


def peer_of(descriptor: int) -> str | None:
    """A socket of this process by its peer: "tcp 127.0.0.1:5432", "unix /run/x.sock"."""
    try:
        with socket.socket(fileno=os.dup(descriptor)) as connection:
            family, kind = connection.family, connection.type
            peer = connection.getpeername()
    except OSError:
        return None
    if family == socket.AF_UNIX:
        return f"unix {peer}" if peer else "unix"
    protocol = "udp" if kind == socket.SOCK_DGRAM else "tcp"
    host = f"[{peer[0]}]" if family == socket.AF_INET6 else peer[0]
    return f"{protocol} {host}:{peer[1]}"


def _polled(array: int, count: int, memory: int | None) -> int | None:
    """The first descriptor of poll(2)'s array; more than a few would be anybody's guess."""
    if memory is None or not 0 < count <= 4:
        return None
    try:
        descriptor = struct.unpack("i", os.pread(memory, 4, array))[0]
    except (OSError, struct.error, OverflowError):
        return None
    return descriptor if isinstance(descriptor, int) and descriptor >= 0 else None


def _open(path: str) -> int | None:
    if sys.platform != "linux":
        return None
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def _call(fields: list[bytes]) -> str | None:
    if len(fields) < 3 or not fields[0].isdigit():
        return None
    number = int(fields[0])
    return _TABLE.get(number, f"syscall {number}")


def _read(descriptor: int | None, size: int = _SMALL) -> bytes:
    """What a file of proc(5) says, read without letting go of the GIL, which takes some microseconds.

    `os.pread` hands it over, and a thread that computes gives it back after 5 ms, while each of its own calls that
    let go of it wakes who waits: traced in httpx's test suite, the watchdog made 9,800 calls of futex(2) with it, and
    4,600 without.
    """
    if descriptor is None:
        return b""
    buffer = ctypes.create_string_buffer(size)
    got = _pread(descriptor, buffer, size, 0)
    return buffer.raw[:got] if got > 0 else b""


def _read_freely(descriptor: int | None) -> bytes:
    """Lets go of the GIL before it looks: else a thread that computes would be seen waiting for the one who looks."""
    if descriptor is None:
        return b""
    try:
        return os.pread(descriptor, _SMALL, 0)
    except OSError:
        return b""

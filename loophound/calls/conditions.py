"""When a call of the catalogue counts as blocking, by its arguments and by what it is called on.

Each condition has its words for the catalogue's page. A test that raises counts as no: what the
call itself makes of such arguments is its own affair.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Arguments = tuple[Sequence[Any], Mapping[str, Any]]
Test = Callable[[Sequence[Any], Mapping[str, Any]], bool]

MEMORY = ("/proc/", "/sys/", "/dev/")  # answered by the kernel from memory
MOST_NODES = 2_048  # of a document that is measured before it is encoded
NODE_BYTES = 16


@dataclass(frozen=True, slots=True)
class Condition:
    """`test` looks at what never changes by the call, `waits` at what is so only before it."""

    words: str
    test: Test | None = None
    waits: Test | None = None

    def holds(self, args: Sequence[Any], kwargs: Mapping[str, Any], *, before: bool) -> bool:
        """Whether the call blocks. Before it happens it is also asked whether there is anything to wait for."""
        try:
            if self.test is not None and not self.test(args, kwargs):
                return False
            return not before or self.waits is None or self.waits(args, kwargs)
        except Exception:
            return False


def argument(args: Sequence[Any], kwargs: Mapping[str, Any], index: int, name: str, default: Any = None) -> Any:
    return args[index] if len(args) > index else kwargs.get(name, default)


def waits_for(
    index: int, name: str = "timeout", *, unless: Callable[[Any], object] | None = None, words: str = ""
) -> Condition:
    """A wait with a limit: 0 asks and does not wait. `unless` tells of `self` that nothing is to be waited for."""

    def test(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
        return bool(argument(args, kwargs, index, name) != 0)

    def waits(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
        return unless is None or not unless(args[0])

    return Condition(words or "it has to wait, and its timeout is not 0", test, waits)


def queue_waits(
    index: int, ready: Callable[[Any], object], state: str, what: str = "queue", flag: str = "block"
) -> Condition:
    """`get(block=True, timeout=None)`, `put(item, block=True, timeout=None)` and those like them."""

    def test(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
        block = argument(args, kwargs, index, flag, True)
        return bool(block) and argument(args, kwargs, index + 1, "timeout") != 0

    words = f"the {what} is {state}, with {flag} true and a timeout that is not 0"
    return Condition(words, test, lambda args, kwargs: not ready(args[0]))


def larger_than(limit: int, index: int = 0, name: str = "data", *, cost: Callable[[Any], int] = len) -> Condition:
    def test(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
        return cost(argument(args, kwargs, index, name)) >= limit

    return Condition(f"{limit >> 10} KiB and more", test)


def document_larger_than(limit: int) -> Condition:
    """What is to be encoded, measured roughly: strings by their length, everything else by the piece."""
    return Condition(
        f"about {limit >> 10} KiB and more, as far as can be told before",
        lambda args, kwargs: bulk(argument(args, kwargs, 0, "obj"), limit) >= limit,
    )


def bulk(document: Any, limit: int) -> int:
    """About how many bytes it takes to write this down; stops counting at `limit`, and what is left over
    after MOST_NODES is taken to be like what came before.
    """
    total, seen, waiting = 0, 0, [document]
    while waiting and total < limit:
        node = waiting.pop()
        seen += 1
        if isinstance(node, (str, bytes, bytearray)):
            total += len(node)
        elif isinstance(node, Mapping):
            total += NODE_BYTES * len(node)
            waiting += node.values()
        elif isinstance(node, (list, tuple, set, frozenset)):
            total += NODE_BYTES * len(node)
            waiting += node
        else:
            total += NODE_BYTES
        if seen >= MOST_NODES:
            return total + len(waiting) * total // seen
    return total


def _sleeps(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    return bool(argument(args, kwargs, 0, "secs") > 0)


def _on_disk(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    path = argument(args, kwargs, 0, "file", None)
    if path is None:
        path = next(iter(kwargs.values()), ".")
    if isinstance(path, int):  # a descriptor is open already
        return False
    return not os.fsdecode(path).startswith(MEMORY)


def _on_disk_too(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """The same for os.stat() and its like, which look at an open file as well."""
    path = args[0] if args else next(iter(kwargs.values()), ".")
    return _file_descriptor((path,), {}) if isinstance(path, int) else _on_disk(args, kwargs)


def _file_descriptor(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    fd = args[0] if isinstance(args[0], int) else args[0].fileno()
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return not os.readlink(f"/proc/self/fd/{fd}").startswith(MEMORY) if os.path.isdir("/proc/self/fd") else True
    return os.get_blocking(fd)


def _open_file(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """A file object over a real file. The standard streams are left out, for writing to them is what all
    programs do; so are files in memory, which have no descriptor, and sockets, which are seen as such.
    """
    file = args[0]
    name = getattr(file, "name", None)
    if isinstance(name, (str, bytes)):
        text = os.fsdecode(name)
        return not text.startswith((*MEMORY, "<"))
    if file.closed:
        return False
    fd = file.fileno()
    return fd > 2 and not stat.S_ISSOCK(os.fstat(fd).st_mode) and os.get_blocking(fd)


def _writable(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    # A file that was read is flushed too as it is closed, which does nothing.
    return _open_file(args, kwargs) and (args[0].closed or args[0].writable())


def _readable(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    name = getattr(args[0], "name", None)
    return name == "<stdin>" or _open_file(args, kwargs)


def _blocking_socket(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    return bool(args[0].gettimeout() != 0)


def _blocking_receive(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    import socket

    flags = args[2] if len(args) > 2 and isinstance(args[2], int) else kwargs.get("flags", 0)
    return _blocking_socket(args, kwargs) and not flags & getattr(socket, "MSG_DONTWAIT", 0)


def _no_hang(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    return not any(isinstance(value, int) and value & os.WNOHANG for value in args[1:])


def _lock(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    blocking = argument(args, kwargs, 1, "blocking", True)
    return bool(blocking) and argument(args, kwargs, 2, "timeout", -1) != 0


def _advisory_lock(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    return not args[1] & (fcntl.LOCK_NB | fcntl.LOCK_UN)


ALWAYS = Condition("always")
SLEEP = Condition("it sleeps for more than 0 s", _sleeps)
PATH = Condition("the path is not below /proc, /sys or /dev", _on_disk)
PATH_OR_FD = Condition("the path is not below /proc, /sys or /dev", _on_disk_too)
DESCRIPTOR = Condition("a file on disk, or a descriptor that is set to block", _file_descriptor)
FILE_WRITE = Condition("a file on disk or a pipe; not in memory, not a standard stream", _writable)
FILE_READ = Condition("a file on disk or a pipe, or standard input; not in memory", _readable)
SOCKET = Condition("the socket is set to block, or has a timeout", _blocking_socket)
RECEIVE = Condition("the socket is set to block, or has a timeout", _blocking_receive)
CHILD = Condition("without WNOHANG", _no_hang)
LOCK = Condition("it is held, blocking is true and the timeout is not 0", _lock)
ADVISORY_LOCK = Condition("without LOCK_NB", _advisory_lock)

"""The memory of the watched process, read through a descriptor of its /proc/self/mem.

The watched process opens the file read-only and hands the descriptor to its observer alone.
The kernel checks permission when the file is opened (proc(5)), so reading needs neither
ptrace nor a privilege. A bad address is an error of the read and never a fault.
"""

from __future__ import annotations

import errno
import os
import random
from typing import Protocol

from loophound.observer.layout import WORD

MAX_READ_BYTES = 1 << 20
# The unit in which `Pages` reads. Every Linux page size is a multiple of it, so a block never
# reaches into a page that is not mapped.
BLOCK_BYTES = 4096


class BadAddress(OSError):
    """The address is not mapped, not aligned with anything sensible, or the size is out of bounds."""


class Readable(Protocol):
    """What the readers of this package need of a memory; tests give a fake."""

    def read(self, address: int, size: int) -> bytes: ...

    def word(self, address: int) -> int: ...


class ProcessMemory:
    """Reads through `fd`, which stays the caller's to close."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes at `address`. Raises BadAddress when they cannot all be read."""
        if not 0 <= size <= MAX_READ_BYTES or not 0 < address < 1 << 63:
            raise BadAddress(errno.EFAULT, f"{size} bytes at {address:#x} are out of bounds")
        try:
            content = os.pread(self.fd, size, address)
        except OSError as error:
            raise BadAddress(error.errno, f"{size} bytes at {address:#x}: {error.strerror}") from None
        if len(content) != size:
            raise BadAddress(errno.EFAULT, f"only {len(content)} of {size} bytes at {address:#x} are mapped")
        return content

    def word(self, address: int) -> int:
        """The pointer-sized unsigned integer at `address`."""
        value: int = WORD.unpack(self.read(address, 8))[0]
        return value


class Pages:
    """One look at a memory: each block is read once, so all reads of a block are of one moment."""

    def __init__(self, memory: Readable) -> None:
        self._memory = memory
        self.blocks: dict[int, bytes] = {}

    def read(self, address: int, size: int) -> bytes:
        start = address % BLOCK_BYTES
        first = address - start
        if start + size <= BLOCK_BYTES:
            return self._block(first)[start : start + size]
        if not 0 <= size <= MAX_READ_BYTES:
            raise BadAddress(errno.EFAULT, f"{size} bytes at {address:#x} are out of bounds")
        blocks = [self._block(block) for block in range(first, address + size, BLOCK_BYTES)]
        return b"".join(blocks)[start : start + size]

    def word(self, address: int) -> int:
        value: int = WORD.unpack(self.read(address, 8))[0]
        return value

    def again(self) -> Pages:
        """A new look at the blocks that this one has read, in an irregular order."""
        look = Pages(self._memory)
        for block in random.sample([*self.blocks], len(self.blocks)):
            look._block(block)
        return look

    def _block(self, first: int) -> bytes:
        block = self.blocks.get(first)
        if block is None:
            block = self.blocks[first] = self._memory.read(first, BLOCK_BYTES)
        return block

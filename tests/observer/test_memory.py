from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from loophound.observer.calibrate import MEMORY_PATH
from loophound.observer.memory import BLOCK_BYTES, MAX_READ_BYTES, BadAddress, Pages, ProcessMemory


@pytest.fixture
def memory() -> Iterator[ProcessMemory]:
    fd = os.open(MEMORY_PATH, os.O_RDONLY)
    yield ProcessMemory(fd)
    os.close(fd)


def test_objects_of_the_own_process_can_be_read(memory: ProcessMemory) -> None:
    value = b"a value to be found " * 3
    assert value in memory.read(id(value), 128)
    assert memory.word(id(value) + 8) == id(bytes)


@pytest.mark.parametrize(("address", "size"), [(0, 8), (8, 8), (-8, 8), (1 << 63, 8), (1 << 62, 8), (4096, -1)])
def test_a_bad_address_is_an_error(memory: ProcessMemory, address: int, size: int) -> None:
    with pytest.raises(BadAddress):
        memory.read(address, size)


def test_sizes_are_bounded(memory: ProcessMemory) -> None:
    with pytest.raises(BadAddress, match="out of bounds"):
        memory.read(id(memory), MAX_READ_BYTES + 1)
    with pytest.raises(BadAddress, match="out of bounds"):
        Pages(memory).read(id(memory), MAX_READ_BYTES + 1)


def test_a_short_read_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "short"
    path.write_bytes(b"x" * 100)
    with path.open("rb") as file, pytest.raises(BadAddress, match="only 10 of 20"):
        ProcessMemory(file.fileno()).read(90, 20)


class Counting:
    def __init__(self) -> None:
        self.reads: list[tuple[int, int]] = []

    def read(self, address: int, size: int) -> bytes:
        self.reads.append((address, size))
        return bytes((address + i) // 8 % 256 for i in range(size))

    def word(self, address: int) -> int:
        raise AssertionError("Pages reads blocks")


def test_pages_read_each_block_once_and_join_them() -> None:
    memory = Counting()
    pages = Pages(memory)
    whole = Counting().read(BLOCK_BYTES - 100, 300)
    assert pages.read(BLOCK_BYTES - 100, 300) == whole
    assert pages.read(BLOCK_BYTES - 100, 50) == whole[:50]
    assert pages.word(BLOCK_BYTES) == int.from_bytes(bytes([512 % 256]) * 8, "little")
    assert memory.reads == [(0, BLOCK_BYTES), (BLOCK_BYTES, BLOCK_BYTES)]

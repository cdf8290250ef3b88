from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from loophound.observer.calibrate import MEMORY_PATH, calibrate
from loophound.observer.layout import Layout
from loophound.observer.memory import BLOCK_BYTES, ProcessMemory
from loophound.observer.places import CalibrationError
from loophound.observer.request import LOOKS, RecordReader, slot_places
from loophound.observer.walk import Walk, Walker
from tests.observer.watched import ThreadIn


class Exchange:
    __slots__ = ("count", "method", "path")

    def __init__(self, method: str, path: object) -> None:
        self.method, self.path, self.count = method, path, 1 << 40

    async def run(self, park: Callable[[], None]) -> None:
        park()


class Other(Exchange):
    __slots__ = ()


NAMES = ("method", "path")


@pytest.fixture(scope="module")
def layout() -> Layout:
    return calibrate()


@pytest.fixture
def memory() -> Iterator[ProcessMemory]:
    fd = os.open(MEMORY_PATH, os.O_RDONLY)
    yield ProcessMemory(fd)
    os.close(fd)


@pytest.fixture
def slots(memory: ProcessMemory) -> dict[str, int]:
    return slot_places(memory, Exchange("GET", "/"), NAMES)


def serving(exchange: Exchange) -> ThreadIn:
    def body(park: Callable[[], None]) -> None:
        with pytest.raises(StopIteration):
            exchange.run(park).send(None)

    return ThreadIn(body)


def request_frame(walk: Walk | None) -> int:
    assert walk is not None
    (address,) = (
        address
        for address, owner, frame in zip(walk.addresses, walk.owners, walk.frames, strict=True)
        if owner and frame.function == "Exchange.run"
    )
    return address


@pytest.mark.parametrize("path", ["/show/7", "/gr\xf6\xdfe", "/\u540d", "/\U0001f40d", "", "/" + "x" * 4000])
def test_method_and_path_of_the_request_that_a_coroutine_serves(
    memory: ProcessMemory, layout: Layout, slots: dict[str, int], path: str
) -> None:
    with serving(Exchange("POST", path)) as thread:
        address = request_frame(Walker(memory, layout).walk(thread.state))
        assert RecordReader(memory, layout, id(Exchange), slots).read(address) == {"method": "POST", "path": path}


@pytest.mark.parametrize(
    "exchange", [Other("GET", "/"), Exchange("GET", None), Exchange("GET", b"/"), Exchange("GET", "x" * 5000)]
)
def test_what_is_not_as_registered_is_not_told(
    memory: ProcessMemory, layout: Layout, slots: dict[str, int], exchange: Exchange
) -> None:
    with serving(exchange) as thread:
        address = request_frame(Walker(memory, layout).walk(thread.state))
        assert RecordReader(memory, layout, id(Exchange), slots).read(address) is None


def test_bad_addresses_give_none(memory: ProcessMemory, layout: Layout, slots: dict[str, int]) -> None:
    reader = RecordReader(memory, layout, id(Exchange), slots)
    for address in (0, 8, 1 << 62, id(slots)):
        assert reader.read(address) is None


@pytest.mark.parametrize("look", range(1, LOOKS + 1))
def test_a_request_that_changes_meanwhile_is_not_told(
    memory: ProcessMemory, layout: Layout, slots: dict[str, int], look: int
) -> None:
    class Changing:
        """The memory in which the path becomes another one after some looks."""

        def __init__(self, block: int) -> None:
            self.block, self.times = block, 0

        def read(self, address: int, size: int) -> bytes:
            content = memory.read(address, size)
            if address == self.block:
                self.times += 1
                if self.times > look:
                    return content.replace(b"/path/before", b"/path/behind")
            return content

        def word(self, address: int) -> int:
            raise AssertionError("blocks are read")

    path = "".join(["/path", "/before"])
    exchange = Exchange("GET", path)
    with serving(exchange) as thread:
        address = request_frame(Walker(memory, layout).walk(thread.state))
        data = id(path) + layout.str_ascii_data
        changing = Changing(data - data % BLOCK_BYTES)
        assert RecordReader(changing, layout, id(Exchange), slots).read(address) is None
        assert changing.times == look + 1


def test_slots_that_cannot_be_told_apart_are_refused(memory: ProcessMemory) -> None:
    with pytest.raises(CalibrationError, match="'method'"):
        slot_places(memory, Exchange("same", "same"), NAMES)
    with pytest.raises(CalibrationError, match="'run'"):
        slot_places(memory, Exchange("GET", "/"), ["run"])


def test_another_place_of_the_locals_finds_no_instance(
    memory: ProcessMemory, layout: Layout, slots: dict[str, int]
) -> None:
    elsewhere = replace(layout, frame_locals=layout.frame_code)
    with serving(Exchange("GET", "/")) as thread:
        address = request_frame(Walker(memory, layout).walk(thread.state))
        assert RecordReader(memory, elsewhere, id(Exchange), slots).read(address) is None

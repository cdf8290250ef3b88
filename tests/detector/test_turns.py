"""When a loop's turn began, read from where the loop itself keeps it; and whether it has to be asked at all."""

from __future__ import annotations

import asyncio
import os
import struct
import sys
import time
from collections.abc import Iterator

import pytest

from loophound.detector.adapters.heartbeat import WatchedLoop
from loophound.detector.adapters.turns import place_in_frame, uv_time
from loophound.detector.detector import Detector
from loophound.detector.frames import CodeFrame
from loophound.detector.records import Cause, Stall
from loophound.observer.calibrate import calibrate
from loophound.observer.memory import BadAddress, ProcessMemory
from loophound.observer.page import ON_ASYNCIO, ON_OTHER, ON_UVLOOP, Page, Slot
from loophound.observer.turns import MS_NS, place_in, turn_began_ns
from tests.detector.conftest import Runner

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the observer reads /proc")

PLACE, NUMBER = 0x1000, 0x2000


class Memory:
    """Words by address; everything else is not mapped."""

    def __init__(self, content: dict[int, bytes]) -> None:
        self.content = content

    def read(self, address: int, size: int) -> bytes:
        if len(self.content.get(address, b"")) < size:
            raise BadAddress(14, "not mapped")
        return self.content[address][:size]

    def word(self, address: int) -> int:
        return int.from_bytes(self.read(address, 8), sys.byteorder)


def word(value: int) -> bytes:
    return value.to_bytes(8, sys.byteorder)


def number(value: float, kind: int = id(float)) -> bytes:
    return struct.pack("=QQd", 1, kind, value)


@pytest.fixture
def page() -> Iterator[Page]:
    page = Page.create()
    yield page
    os.close(page.descriptor)


def slot_of(page: Page, kind: int, place: int = PLACE) -> Slot:
    slot = page.occupy(1, 1, kind)
    assert slot is not None
    slot.keeps_time_at(place)
    return slot


def test_uvloops_time_is_in_whole_milliseconds(page: Page) -> None:
    memory = Memory({PLACE: word(1234)})
    assert turn_began_ns(memory, slot_of(page, ON_UVLOOP)) == 1234 * MS_NS + MS_NS // 2


def test_asyncios_time_is_a_float(page: Page) -> None:
    memory = Memory({PLACE: word(NUMBER), NUMBER: number(1.5)})
    assert turn_began_ns(memory, slot_of(page, ON_ASYNCIO)) == 1_500_000_000


@pytest.mark.parametrize(
    "content",
    [
        {},
        {PLACE: word(0)},  # the selector waits
        {PLACE: word(NUMBER)},
        {PLACE: word(NUMBER), NUMBER: number(1.5, id(str))},
        {PLACE: word(NUMBER), NUMBER: number(float("nan"))},
        {PLACE: word(NUMBER), NUMBER: number(float("inf"))},
        {PLACE: word(NUMBER), NUMBER: number(-1.0)},
    ],
    ids=["not mapped", "no value", "no object", "no float", "nan", "inf", "negative"],
)
def test_what_is_no_time_is_not_known(page: Page, content: dict[int, bytes]) -> None:
    assert turn_began_ns(Memory(content), slot_of(page, ON_ASYNCIO)) is None


def test_where_no_place_is_known_nothing_is_read(page: Page) -> None:
    assert turn_began_ns(Memory({}), slot_of(page, ON_OTHER, 0)) is None


def test_of_a_loop_that_has_not_answered_yet_a_stack_tells(page: Page) -> None:
    frames = [
        CodeFrame("/srv/app.py", 1, "BaseEventLoop._run_once", 0),
        CodeFrame("/usr/lib/python3.11/asyncio/base_events.py", 1922, "BaseEventLoop._run_once", 800),
        CodeFrame("/srv/app.py", 1, "main", 0),
    ]
    addresses = [0x5000, 0x6000, 0x7000]
    assert place_in(slot_of(page, ON_ASYNCIO, 0), frames, addresses) == 0
    slot = page.occupy(1, 1, ON_ASYNCIO, turn_in_frame=0x80)
    assert slot is not None
    assert place_in(slot, frames, addresses) == 0x6080
    assert place_in(slot, frames[2:], addresses[2:]) == 0
    memory = Memory({0x6080: word(NUMBER), NUMBER: number(1.5)})
    assert turn_began_ns(memory, slot, 0x6080) == 1_500_000_000
    slot.keeps_time_at(PLACE)
    assert place_in(slot, frames, addresses) == PLACE


@pytest.mark.allow_blocking(reason="that is what is timed")
def test_a_block_in_the_first_turn_of_a_run_begins_with_it(run: Runner) -> None:
    told: list[Stall] = []

    async def main() -> None:
        time.sleep(0.4)

    with Detector(0.1, on_stall=told.append) as detector:
        assert detector.wait_for_observer(), detector.observer_problem
        for _ in range(5):  # the machine may let nobody look
            run(main())
            detector.settle(10)
            if told and told[-1].duration_error_s == 0.001:
                break
    assert (told[-1].cause, told[-1].duration_error_s) == (Cause.SLEEP, 0.001)
    assert told[-1].duration_s >= 0.399


def test_a_place_is_sought_in_the_right_loop_and_frame_only() -> None:
    with open("/proc/self/mem", "rb", buffering=0) as file:
        memory = ProcessMemory(file.fileno())
        loop = asyncio.new_event_loop()
        assert uv_time(loop, memory) is None
        loop.close()
        assert place_in_frame(sys._getframe(), calibrate(memory), memory) == 0


def test_the_length_of_a_stall_is_known_to_a_millisecond(run: Runner) -> None:
    told: list[Stall] = []

    async def main() -> None:
        await asyncio.sleep(0.2)
        time.sleep(0.3)
        await asyncio.sleep(0.05)

    with Detector(0.1, on_stall=told.append) as detector:
        assert detector.wait_for_observer(), detector.observer_problem
        run(main())
    [stall] = [s for s in told if s.cause is Cause.SLEEP]
    assert stall.duration_error_s == 0.001
    assert stall.duration_s >= 0.298


def test_a_loop_that_rests_is_not_asked(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    ask = WatchedLoop.ask

    def asking(self: WatchedLoop, due_ns: int) -> None:
        asked.append(due_ns)
        ask(self, due_ns)

    monkeypatch.setattr(WatchedLoop, "ask", asking)

    async def main() -> int:
        await asyncio.sleep(0.1)
        before = len(asked)
        await asyncio.sleep(1.0)
        return len(asked) - before

    with Detector(0.1) as detector:
        assert detector.wait_for_observer(), detector.observer_problem
        resting = run(main())
    assert resting <= 5  # of twenty looks


def test_lag_and_utilisation_are_kept_of_a_loop_that_is_not_asked(run: Runner) -> None:
    async def main() -> None:
        await asyncio.sleep(1.0)

    with Detector(0.1) as detector:
        assert detector.wait_for_observer(), detector.observer_problem
        run(main())
        [snapshot] = detector.snapshots()
    assert snapshot.watched_s >= 0.5
    assert snapshot.utilisation <= 0.5

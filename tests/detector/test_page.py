from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator

import pytest

from loophound.observer.page import HEADER_WORDS, ON_UVLOOP, SIZE_BYTES, SLOT_WORDS, SLOTS, Page

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memfd_create")


@pytest.fixture
def page() -> Iterator[Page]:
    page = Page.create()
    yield page
    os.close(page.descriptor)


def test_both_sides_see_the_same(page: Page) -> None:
    theirs = Page(page.descriptor)
    page.ticked_ns = 123
    before_ns = time.monotonic_ns()
    slot = page.occupy(0x7F0000001000, 42, ON_UVLOOP, base=5, names="uvloop.Loop\nGröße", turn_in_frame=0x80)
    assert slot is not None
    assert before_ns <= slot.beat_ns <= time.monotonic_ns()
    assert (slot.names, slot.turn_in_frame, slot.turn_place) == (("uvloop.Loop", "Größe"), 0x80, 0)
    assert (slot.float_type, slot.pace_ns, slot.tried_ns, slot.aim) == (id(float), 0, 0, (0, 0, 0))
    slot.beat_ns, slot.quiet = 999, True
    [seen] = theirs.live()
    assert theirs.ticked_ns == 123
    assert (seen.index, seen.generation, seen.thread_state) == (0, slot.generation, 0x7F0000001000)
    assert (seen.native_id, seen.kind, seen.base, seen.beat_ns, seen.quiet) == (42, ON_UVLOOP, 5, 999, True)
    seen.announced_ns = 777
    assert (slot.announced_ns, slot.reported_ns) == (777, 0)
    slot.reported_ns, slot.quiet = 888, False
    assert (seen.reported_ns, seen.quiet) == (888, False)


def test_a_released_slot_is_taken_again_as_another_loop(page: Page) -> None:
    first = page.occupy(1, 1, 0)
    assert first is not None
    generation = first.generation
    first.beat_ns, first.base, first.announced_ns, first.quiet = 5, 6, 7, True
    first.release()
    assert list(page.live()) == []
    before_ns = time.monotonic_ns()
    second = page.occupy(2, 2, 0)
    assert second is not None
    assert second.index == first.index
    assert second.generation != generation
    assert (second.base, second.announced_ns, second.reported_ns, second.quiet) == (0, 0, 0, False)
    assert second.beat_ns >= before_ns  # or the observer would take it for overdue


def test_more_loops_than_slots(page: Page) -> None:
    slots = [page.occupy(n, n, 0) for n in range(1, SLOTS + 1)]
    assert all(slots)
    assert page.occupy(99, 99, 0) is None
    assert slots[7] is not None
    slots[7].release()
    again = page.occupy(99, 99, 0)
    assert again is not None
    assert again.index == 7
    assert len({slot.generation for slot in page.live()}) == SLOTS


def test_slots_do_not_overlap(page: Page) -> None:
    for slot in page.slots:
        slot.generation = slot.beat_ns = slot.base = slot.announced_ns = slot.reported_ns = slot.index + 1
        slot.quiet = slot.index % 2 == 0
    page.ticked_ns = 5
    for slot in page.slots:
        assert {slot.generation, slot.beat_ns, slot.base, slot.announced_ns, slot.reported_ns} == {slot.index + 1}
    assert SIZE_BYTES == 8 * (HEADER_WORDS + SLOTS * SLOT_WORDS)

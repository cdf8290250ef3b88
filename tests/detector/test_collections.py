from __future__ import annotations

import gc
import threading

import pytest

from loophound.detector.adapters import collections
from loophound.detector.adapters.collections import MOST_UNREAD, CollectionWatch


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> CollectionWatch:
    monkeypatch.setattr(collections, "WORTH_NOTING_NS", 0)
    return CollectionWatch()


def test_a_collection_is_noted_with_its_thread(watch: CollectionWatch) -> None:
    watch.install()
    try:
        cycle: list[object] = []
        cycle.append(cycle)
        del cycle
        gc.collect()
        taken = [c for ident, c in watch.take() if ident == threading.get_ident() and c.generation == 2]
    finally:
        watch.remove()
    assert taken
    assert taken[-1].collected >= 1
    assert taken[-1].ended_ns > taken[-1].began_ns > 0
    assert watch.take() == []


def test_nothing_is_left_in_the_callbacks(watch: CollectionWatch) -> None:
    before = list(gc.callbacks)
    watch.install()
    assert len(gc.callbacks) == len(before) + 1
    watch.remove()
    watch.remove()
    assert gc.callbacks == before


def test_short_collections_are_not_noted() -> None:
    watch = CollectionWatch()
    watch._note("start", {})
    watch._note("stop", {"generation": 0, "collected": 0})
    assert watch.take() == []


def test_a_collection_that_had_begun_before_is_not_noted(watch: CollectionWatch) -> None:
    watch._note("stop", {"generation": 2, "collected": 0})
    assert watch.take() == []


def test_unread_collections_take_bounded_memory(watch: CollectionWatch) -> None:
    for _ in range(3 * MOST_UNREAD):
        watch._note("start", {})
        watch._note("stop", {"generation": 0, "collected": 0})
    assert len(watch.take()) == MOST_UNREAD

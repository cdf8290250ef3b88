from __future__ import annotations

import sys
import threading
from collections.abc import Callable

import pytest

from loophound.detector.records import Stall
from loophound.detector.stream import MOST_WAITING, Stream, tell
from tests.stalls import stall


def numbered(number: int) -> list[Stall]:
    return [stall(id=str(number))]


class Seen:
    def __init__(self) -> None:
        self.ids: list[str] = []

    def __call__(self, shown: Stall) -> None:
        self.ids.append(shown.id)


def test_each_face_sees_all_in_order() -> None:
    first, second = Seen(), Seen()
    stream = Stream(numbered, [first, second])
    stream.start()
    for number in range(50):
        stream.put(number)
    stream.close()
    assert first.ids == second.ids == [str(number) for number in range(50)]


def test_close_waits_for_what_is_under_way() -> None:
    let_go = threading.Event()
    seen = Seen()

    def slow(shown: Stall) -> None:
        let_go.wait(5)
        seen(shown)

    stream = Stream(numbered, [slow])
    stream.start()
    stream.put(1)
    threading.Timer(0.05, let_go.set).start()
    stream.close()
    assert seen.ids == ["1"]


def test_putting_never_waits_and_counts_what_it_drops(capsys: pytest.CaptureFixture[str]) -> None:
    entered, let_go = threading.Event(), threading.Event()

    def stuck(_: Stall) -> None:
        entered.set()
        let_go.wait(5)

    stream = Stream(numbered, [stuck])
    stream.start()
    stream.put(0)
    assert entered.wait(5)
    for number in range(MOST_WAITING + 10):
        stream.put(number)
    assert stream.dropped == 10
    let_go.set()
    stream.close()
    assert "10 stalls were not shown" in capsys.readouterr().err


@pytest.mark.parametrize("error", [ValueError, OSError, SystemExit, KeyboardInterrupt])
def test_a_face_that_raises_is_told_once_and_the_others_are_served(
    error: type[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    calls = 0
    seen = Seen()

    def broken(_: Stall) -> None:
        nonlocal calls
        calls += 1
        raise error("no room")

    stream = Stream(numbered, [broken, seen])
    stream.start()
    for number in range(3):
        stream.put(number)
    stream.close()
    assert seen.ids == ["0", "1", "2"]
    assert calls == 3
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert f"{error.__name__}: no room" in told


def test_a_diagnosis_that_raises_costs_one_stall(capsys: pytest.CaptureFixture[str]) -> None:
    seen = Seen()

    def make(number: int) -> list[Stall]:
        return numbered(10 // number)

    stream = Stream(make, [seen])
    stream.start()
    for number in (1, 0, 2):
        stream.put(number)
    stream.close()
    assert seen.ids == ["10", "5"]
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_closing_in_a_face_does_not_wait_for_itself() -> None:
    closed = threading.Event()

    def face(_: Stall) -> None:
        stream.close()
        closed.set()

    stream: Stream[int] = Stream(numbered, [face])
    stream.start()
    stream.put(1)
    assert closed.wait(5)


class Closed:
    def write(self, _: str) -> int:
        raise ValueError("I/O operation on closed file")

    def flush(self) -> None:
        raise ValueError("I/O operation on closed file")


@pytest.mark.parametrize("make", [lambda: None, Closed])
def test_telling_needs_no_standard_error(
    make: Callable[[], object], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", make())
    tell("something")
    assert capsys.readouterr().out == ""

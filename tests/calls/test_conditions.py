from __future__ import annotations

import io
import os
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from loophound.calls import conditions
from loophound.calls.catalogue import ROWS
from loophound.calls.conditions import Condition, bulk


def holds(condition: Condition, *args: Any, **kwargs: Any) -> bool:
    return condition.holds(args, kwargs, before=True)


def test_sleep() -> None:
    assert holds(conditions.SLEEP, 0.1)
    assert not holds(conditions.SLEEP, 0)
    assert not holds(conditions.SLEEP, "nonsense")


def test_locks() -> None:
    lock = threading.Lock()
    assert holds(conditions.LOCK, lock)
    assert holds(conditions.LOCK, lock, True, 1)
    assert not holds(conditions.LOCK, lock, False)
    assert not holds(conditions.LOCK, lock, blocking=False)
    assert not holds(conditions.LOCK, lock, timeout=0)


@pytest.mark.parametrize(
    ("path", "blocks"),
    [("/etc/passwd", True), (b"/etc/passwd", True), (Path("x"), True), ("/proc/self/stat", False), ("/dev/null", False),
     (Path("/sys/x"), False), (3, False)],
)  # fmt: skip
def test_paths(path: Any, blocks: bool) -> None:
    assert holds(conditions.PATH, path) == blocks
    assert holds(conditions.PATH, file=path) == blocks


def test_files(tmp_path: Path) -> None:
    with open(tmp_path / "f", "w+") as file:
        assert holds(conditions.FILE_READ, file)
        assert holds(conditions.FILE_WRITE, file)
        assert holds(conditions.DESCRIPTOR, file.fileno())
    with open("/proc/self/stat") as file:
        assert not holds(conditions.FILE_READ, file)
        assert not holds(conditions.DESCRIPTOR, file.fileno())
    with open(__file__) as file:
        assert not holds(conditions.FILE_WRITE, file)
    assert not holds(conditions.FILE_READ, io.TextIOWrapper(io.BytesIO()))
    assert not holds(conditions.FILE_WRITE, sys.__stdout__)


def test_descriptors_that_do_not_block() -> None:
    reading, writing = os.pipe()
    try:
        assert holds(conditions.DESCRIPTOR, reading)
        os.set_blocking(reading, False)
        assert not holds(conditions.DESCRIPTOR, reading)
    finally:
        os.close(reading)
        os.close(writing)


def test_sockets() -> None:
    with socket.socket() as sock:
        assert holds(conditions.SOCKET, sock)
        assert not holds(conditions.RECEIVE, sock, 1, socket.MSG_DONTWAIT)
        sock.settimeout(1)
        assert holds(conditions.RECEIVE, sock, 1)
        sock.setblocking(False)
        assert not holds(conditions.SOCKET, sock)


def test_what_is_waited_for_is_asked_only_before_the_call() -> None:
    event = threading.Event()
    condition = conditions.waits_for(1, unless=lambda event: event.is_set())
    assert holds(condition, event)
    assert not holds(condition, event, 0)
    event.set()
    assert not holds(condition, event)
    assert condition.holds((event,), {}, before=False)


@pytest.mark.parametrize("document", [["x" * 10_000] * 10, {"a": list(range(10_000))}, [[[1, 2, 3]] * 2_000] * 1_000])
def test_large_documents(document: Any) -> None:
    assert bulk(document, 1 << 16) >= 1 << 16


@pytest.mark.parametrize("document", [None, 1, "x", {"a": [1, 2, {"b": "c"}]}, list(range(1_000))])
def test_small_documents(document: Any) -> None:
    assert bulk(document, 1 << 16) < 1 << 16


def test_every_row_says_what_it_is() -> None:
    for row in ROWS:
        assert row.names
        assert row.when.words
        assert "{" not in row.remedy.format(call=row.call(row.names[0]))
        assert row.remedy[0].islower()

"""The face, through a real file and its own thread: who calls it never waits and never hears of trouble."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from loophound.ledger import store, writer
from loophound.ledger.store import append, load
from loophound.ledger.writer import LedgerFace
from tests.stalls import stall


def until(condition: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "LOCK_WAIT_S", 0.01)


def count(path: Path) -> int:
    return sum(group.count for group in load(path))


def test_stalls_are_written_on_its_own_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = []
    real = store.append
    monkeypatch.setattr(store, "append", lambda *words: (names.append(threading.current_thread().name), real(*words)))
    told: list[str] = []
    face = LedgerFace(tmp_path / "new" / "ledger.db", told.append)
    face.start()
    for _ in range(3):
        face(stall())
    face(stall(ongoing=True))
    face.close()
    assert count(face.path) == 3
    assert set(names) == {"loophound-ledger"}
    assert told == []


def test_the_file_is_there_before_the_first_stall(tmp_path: Path) -> None:
    face = LedgerFace(tmp_path / "ledger.db", pytest.fail)
    face.start()
    until(face.path.exists)
    face.close()
    assert count(face.path) == 0


def test_a_corrupt_ledger_is_told_once_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_text("not a database at all, " * 50)
    before = path.read_text()
    told: list[str] = []
    face = LedgerFace(path, told.append, retry_s=0.01)
    face.start()
    until(lambda: told)
    for _ in range(5):
        face(stall())
        time.sleep(0.02)
    face.close()
    problem, lost = told
    assert "is corrupt (file is not a database); move it away, or name another file" in problem
    assert problem.endswith("; detection goes on, and this is said once")
    assert lost == f"5 stalls are not in the ledger {str(path)!r}"
    assert path.read_text() == before


def test_what_waited_is_written_when_the_trouble_is_over(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_text("in the way")
    told: list[str] = []
    face = LedgerFace(path, told.append, retry_s=0.01)
    face.start()
    until(lambda: told)
    face(stall())
    path.unlink()
    until(lambda: path.exists() and count(path) == 1)
    face.close()
    assert len(told) == 1


@pytest.mark.usefixtures("quick")
def test_a_passing_lock_is_nobodys_business(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "TRIES_WITH_A_LOCK", 10_000)
    path = tmp_path / "ledger.db"
    append(path, [stall()])
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        face = LedgerFace(path, pytest.fail, retry_s=0.01)
        face.start()
        face(stall())
        until(lambda: face._locked_times > 2)
    face.close()
    assert count(path) == 2


@pytest.mark.usefixtures("quick")
def test_a_lasting_lock_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    append(path, [stall()])
    told: list[str] = []
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        face = LedgerFace(path, told.append, retry_s=0.01)
        face.start()
        face(stall())
        until(lambda: told)
        face.close()
    assert "is locked by another process; detection goes on" in told[0]
    assert told[1:] == [f"1 stall is not in the ledger {str(path)!r}"]


def test_memory_is_bounded_while_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MOST_WAITING", 3)
    told: list[str] = []
    face = LedgerFace(tmp_path, told.append)  # a directory
    face.start()
    until(lambda: told)
    for _ in range(10):
        face(stall())
    face.close()
    assert told[-1].startswith("10 stalls are not in the ledger")


def test_a_python_without_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "loophound.ledger.store", None)
    monkeypatch.delattr("loophound.ledger.store")
    told: list[str] = []
    face = LedgerFace(tmp_path / "ledger.db", told.append)
    face.start()
    face.close()
    assert len(told) == 1


def test_it_prunes_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pruned: list[Path] = []
    real = store.prepare
    monkeypatch.setattr(store, "prepare", lambda path, *words: (pruned.append(path), real(path, *words)))
    monkeypatch.setattr(writer, "PRUNE_EVERY", 2)
    face = LedgerFace(tmp_path / "ledger.db", pytest.fail)
    face.start()
    for number in range(4):
        face(stall())
        until(lambda number=number: face.path.exists() and not face._waiting)
    face.close()
    assert len(pruned) >= 2

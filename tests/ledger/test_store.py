"""The database, with real files: what goes in comes out, and what may be wrong with it."""

from __future__ import annotations

import dataclasses
import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from loophound.detector.records import StackFrame, Stall
from loophound.ledger import store
from loophound.ledger.groups import Group, Groups, at_s
from loophound.ledger.store import LedgerError, Limits, append, load, oldest_event_s, prepare
from tests.stalls import STACK, stall

NOW_S = at_s(stall())


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def at(seconds: float, **changes: Any) -> Stall:
    """A stall so many seconds after the others."""
    minutes, rest = divmod(seconds, 60)
    return stall(at=f"2026-11-22T05:{int(minutes):02}:{rest:06.3f}Z", **changes)


def sums(groups: Groups) -> dict[str, tuple[int, float]]:
    return {group.fingerprint: (group.count, round(group.total_s, 6)) for group in groups}


def count(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def comparable(group: Group) -> dict[str, Any]:
    fields = {entry.name: getattr(group, entry.name) for entry in dataclasses.fields(group)}
    return {**fields, "histogram": group.histogram.to_dict(), "total_s": round(group.total_s, 6)}


def test_what_goes_in_comes_out(ledger: Path) -> None:
    stalls = [at(n, id=str(n), duration_s=0.1 * (n + 1), victims=n) for n in range(5)]
    append(ledger, stalls[:2])
    append(ledger, stalls[2:])
    expected = Groups()
    for one in stalls:
        expected.add(one)
    [group], [wanted] = load(ledger), expected
    assert comparable(group) == comparable(wanted)
    assert [record.id for record in group.records] == ["2", "3", "4"]


def test_odd_text_survives(ledger: Path) -> None:
    frame = StackFrame("/srv/\udc80 ;'.py", 1, "<lambda>\n", app=True)
    odd = stall(stack=(frame,), remedy="\ud800 \u2028 '", request=dataclasses.replace(stall().request, route="/\udc80"))  # type: ignore[type-var]
    append(ledger, [odd])
    [group] = load(ledger)
    assert group.records == [odd]
    assert list(group.stack_s) == [(frame,)]


def test_since_counts_single_stalls(ledger: Path) -> None:
    append(ledger, [at(0, duration_s=1.0), at(10, duration_s=2.0), at(20, duration_s=4.0), at(0, fingerprint="b")])
    groups = load(ledger, since_s=at_s(at(10)))
    assert sums(groups) == {"c0ffee12": (2, 6.0)}
    [group] = groups
    assert group.stack_s == {STACK: 6.0}
    assert group.first_at_s == at_s(at(0))


def test_files_are_private_and_in_wal_mode(ledger: Path) -> None:
    append(ledger, [stall()])
    assert ledger.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(ledger)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_report_needs_no_permission_to_write(ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append(ledger, [stall()])
    monkeypatch.setattr(os, "access", lambda *_: False)
    ledger.chmod(0o400)
    ledger.parent.chmod(0o500)
    try:
        assert sums(load(ledger)) == {"c0ffee12": (1, 0.312)}
    finally:
        ledger.parent.chmod(0o700)


# Bounds


def test_old_stalls_go(ledger: Path) -> None:
    append(ledger, [at(0, fingerprint="old"), at(600), at(0, duration_s=1.0)])
    prepare(ledger, at_s(at(0)) + 86400 + 300, Limits(age_days=1))
    groups = load(ledger)
    assert sums(groups) == {"c0ffee12": (2, 1.312)}, "the sums of a group that is still seen are for good"
    assert count(ledger, "event") == 1
    assert oldest_event_s(ledger) == at_s(at(600))


def test_the_latest_events_and_groups_are_kept(ledger: Path) -> None:
    append(ledger, [at(n, fingerprint=str(n)) for n in range(20)])
    prepare(ledger, NOW_S, Limits(events=7, groups=5))
    assert sums(load(ledger)) == {str(n): (1, 0.312) for n in range(15, 20)}
    assert (count(ledger, "event"), count(ledger, "record")) == (5, 5)


def test_stacks_go_with_their_stalls(ledger: Path) -> None:
    stacks = [(StackFrame("f.py", n, "f", app=True),) for n in range(10)]
    append(ledger, [at(n, stack=stack) for n, stack in enumerate(stacks)])
    assert count(ledger, "stack") == 10
    prepare(ledger, NOW_S, Limits(events=4))
    assert count(ledger, "stack") == 4
    assert sums(load(ledger)) == {"c0ffee12": (10, 3.12)}


def test_the_file_is_bounded(ledger: Path) -> None:
    for batch in range(4):
        append(ledger, [at(n, fingerprint=f"{batch}-{n}", remedy="x" * 4000) for n in range(60)])
    before = ledger.stat().st_size
    prepare(ledger, NOW_S, Limits(bytes=400_000))
    assert ledger.stat().st_size <= 400_000 < before
    assert 0 < len(sums(load(ledger))) < 240


def test_nothing_pruned_nothing_missing(ledger: Path) -> None:
    append(ledger, [at(0), at(5)])
    assert oldest_event_s(ledger) is None


def test_an_empty_file_is_an_empty_ledger(ledger: Path) -> None:
    ledger.touch()
    assert sums(load(ledger)) == {}
    assert oldest_event_s(ledger) is None
    append(ledger, [stall()])
    assert sums(load(ledger)) == {"c0ffee12": (1, 0.312)}


# Several at once


def test_two_writers_at_once(ledger: Path) -> None:
    each, failures = 30, []

    def write(name: str) -> None:
        for number in range(each):
            while True:
                try:
                    append(ledger, [at(number, fingerprint="shared"), at(number, fingerprint=name)])
                    break
                except LedgerError as error:
                    if not error.passing:
                        failures.append(error)
                        return

    threads = [threading.Thread(target=write, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert {name: times for name, (times, _) in sums(load(ledger)).items()} == {
        "shared": 2 * each, "a": each, "b": each,
    }  # fmt: skip


def test_a_reader_does_not_wait_for_a_writer(ledger: Path) -> None:
    append(ledger, [stall()])
    with closing(sqlite3.connect(ledger, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("DELETE FROM grouped")
        assert sums(load(ledger)) == {"c0ffee12": (1, 0.312)}


def test_a_lock_is_told_as_passing(ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "LOCK_WAIT_S", 0.01)
    append(ledger, [stall()])
    with closing(sqlite3.connect(ledger, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError, match="is locked by another process") as caught:
            append(ledger, [stall()])
    assert caught.value.passing
    append(ledger, [stall()])
    assert sums(load(ledger)) == {"c0ffee12": (2, 0.624)}


# What is no ledger


def test_another_version(ledger: Path) -> None:
    append(ledger, [stall()])
    with closing(sqlite3.connect(ledger)) as db:
        db.execute("PRAGMA user_version = 9")
    before = ledger.read_bytes()
    for use in (load, lambda path: append(path, [stall()])):
        with pytest.raises(LedgerError, match="is of version 9, and this Loophound knows version 1; move it") as caught:
            use(ledger)
        assert not caught.value.passing
    assert ledger.read_bytes() == before


def test_a_database_of_something_else_is_left_alone(ledger: Path) -> None:
    with closing(sqlite3.connect(ledger)) as db:
        db.execute("CREATE TABLE bread (butter)")
    before = ledger.read_bytes()
    for use in (load, lambda path: append(path, [stall()])):
        with pytest.raises(LedgerError, match="is a database, but no ledger of Loophound"):
            use(ledger)
    assert ledger.read_bytes() == before


@pytest.mark.parametrize("spoil", ["text", "middle", "json", "record"])
def test_a_corrupt_ledger(spoil: str, ledger: Path) -> None:
    append(ledger, [at(n, fingerprint=str(n)) for n in range(200)])
    if spoil == "text":
        ledger.write_text("this is not a database, though it was one " * 100)
    elif spoil == "middle":
        data = bytearray(ledger.read_bytes())
        data[4096:] = bytes(len(data) - 4096)
        ledger.write_bytes(data)
    else:
        column, table = ("histogram", "grouped") if spoil == "json" else ("body", "record")
        with closing(sqlite3.connect(ledger)) as db, db:
            db.execute(f"UPDATE {table} SET {column} = '['")
    with pytest.raises(LedgerError, match=r"is corrupt \(.*\); move it away, or name another file") as caught:
        load(ledger)
    assert not caught.value.passing


def test_a_directory_and_a_missing_one(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent" / "ledger.db"):
        with pytest.raises(LedgerError, match="cannot be used"):
            append(path, [stall()])


def test_a_failed_batch_leaves_nothing(ledger: Path) -> None:
    append(ledger, [stall()])
    with closing(sqlite3.connect(ledger)) as db:
        db.execute("DROP TABLE event")
    with pytest.raises(LedgerError):
        append(ledger, [stall()])
    with closing(sqlite3.connect(ledger)) as db:
        assert db.execute("SELECT count FROM grouped").fetchall() == [(1,)]

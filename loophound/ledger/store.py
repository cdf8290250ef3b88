"""The ledger's database: what is in it, how it is added to, read and pruned.

SQLite in WAL mode, so that a report reads while a server writes, and several processes may write.
A group's sums and histogram are for good; `event` has one short row for each of the latest stalls,
from which a report since a point in time and the flame graphs are made. Nothing here keeps a
connection: one that is open while the program forks would be closed by the child under the feet of
the parent's (sqlite.org/howtocorrupt.html, section 2.6).
"""

from __future__ import annotations

import json
import math
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loophound.detector.records import Cause, StackFrame, Stall
from loophound.errors import LoophoundError
from loophound.ledger.groups import MOST_RECORDS, Event, Group, Groups, Stack, event_of, slim
from loophound.ledger.histogram import Histogram
from loophound.ledger.reading import read_stall

APPLICATION_ID = 0x4C4F4F50  # "LOOP"
VERSION = 1
LOCK_WAIT_S = 0.5
READ_WAIT_S = 3.0

SCHEMA = """
CREATE TABLE grouped (
    fingerprint TEXT PRIMARY KEY, cause TEXT NOT NULL, first_at_s REAL NOT NULL, last_at_s REAL NOT NULL,
    count INTEGER NOT NULL, total_s REAL NOT NULL, worst_s REAL NOT NULL, victims INTEGER NOT NULL,
    histogram TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE record (fingerprint TEXT NOT NULL, at_s REAL NOT NULL, body TEXT NOT NULL);
CREATE INDEX record_of ON record (fingerprint, at_s);
CREATE TABLE stack (id INTEGER PRIMARY KEY, frames TEXT NOT NULL UNIQUE);
CREATE TABLE event (
    fingerprint TEXT NOT NULL, at_s REAL NOT NULL, duration_s REAL NOT NULL, victims INTEGER NOT NULL,
    request TEXT, stack INTEGER NOT NULL
);
CREATE INDEX event_at ON event (at_s);
CREATE INDEX event_stack ON event (stack);
"""


class LedgerError(LoophoundError):
    """A ledger cannot be used. `passing` says whether the same may work a moment later."""

    def __init__(self, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a ledger holds; what was seen longest ago goes first."""

    groups: int = 1000
    events: int = 100_000
    age_days: float = 90.0
    bytes: int = 64 << 20


def prepare(path: Path, now_s: float, limits: Limits) -> None:
    """Make the ledger where there is none, and prune it. Raises LedgerError."""
    with _writing(path) as db:
        _prune(db, now_s, limits)
    with _connected(path) as db:
        db.executescript("PRAGMA incremental_vacuum")  # execute() would free a single page


def append(path: Path, stalls: Sequence[Stall]) -> None:
    """Add stalls that have ended, in one transaction. Raises LedgerError, and then nothing was added."""
    fresh = Groups()
    for stall in stalls:
        fresh.add(slim(stall))
    with _writing(path) as db:
        for group in fresh:
            _merge(db, group)
        db.executemany("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?)", [_row(db, event_of(stall)) for stall in stalls])


def load(path: Path, since_s: float = -math.inf) -> Groups:
    """What the ledger holds, or of that what began since. Raises LedgerError."""
    groups = Groups(since_s)
    with _reading(path) as db:
        if db is None:
            return groups
        for fingerprint, cause, *sums in db.execute("SELECT * FROM grouped"):
            _fill(groups.group(fingerprint, Cause(cause)), sums, counted=since_s == -math.inf)
        for fingerprint, body in db.execute("SELECT fingerprint, body FROM record ORDER BY at_s"):
            stall = read_stall(body)
            groups.group(fingerprint, stall.cause).keep(stall)
        known = {group.fingerprint: group for group in groups.all()}
        for event in _events(db, since_s):
            if event.fingerprint in known:
                group = known[event.fingerprint]
                (group.locate if since_s == -math.inf else group.add)(event)
    return groups


def oldest_event_s(path: Path) -> float | None:
    """When the oldest stall began that `load` can count since a point in time. Raises LedgerError."""
    with _reading(path) as db:
        if db is None:
            return None
        row: tuple[float | None] = db.execute("SELECT min(at_s) FROM event").fetchone()
        counted = db.execute("SELECT total(count) FROM grouped").fetchone()[0]
        kept = db.execute("SELECT count(*) FROM event").fetchone()[0]
    return row[0] if counted > kept else None


# Connections


@contextmanager
def _connected(path: Path) -> Iterator[sqlite3.Connection]:
    with _told(path):
        _create_private(path)
        with closing(sqlite3.connect(path, timeout=LOCK_WAIT_S, isolation_level=None)) as db:
            _open_or_make(db, path)
            db.execute("PRAGMA synchronous = NORMAL")  # safe in WAL mode: a power cut loses the latest, breaks nothing
            yield db


@contextmanager
def _writing(path: Path) -> Iterator[sqlite3.Connection]:
    with _connected(path) as db:
        # IMMEDIATE: a transaction that reads first and writes later may find the other writer has been faster.
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
        except BaseException:
            with suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection | None]:
    """Without a write: a report must work on a copy, and for another user. None for a new file."""
    # A database in WAL mode in a directory that may not be written can only be read as one that stands still.
    still = not os.access(path.parent, os.W_OK) and not Path(f"{path}-wal").exists()
    uri = f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if still else ''}"
    with _told(path), closing(sqlite3.connect(uri, uri=True, timeout=READ_WAIT_S, isolation_level=None)) as db:
        db.execute("BEGIN")
        # What another process is just making is empty.
        yield db if _is_ledger(db, path) else None


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What SQLite and the file system raise, in our words."""
    try:
        yield
    except sqlite3.OperationalError as error:
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            raise LedgerError(f"the ledger {str(path)!r} is locked by another process", passing=True) from None
        raise LedgerError(f"the ledger {str(path)!r} cannot be used: {error}") from None
    except (sqlite3.Error, ValueError, KeyError, TypeError) as error:
        message = f"the ledger {str(path)!r} is corrupt ({error}); move it away, or name another file"
        raise LedgerError(message) from None
    except OSError as error:
        raise LedgerError(f"the ledger {str(path)!r} cannot be used: {error.strerror or error}") from None


def _create_private(path: Path) -> None:
    """Paths of requests are nobody else's business; SQLite gives its other files the same permissions."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _version(db: sqlite3.Connection) -> tuple[int, int]:
    [application] = db.execute("PRAGMA application_id").fetchone()
    [version] = db.execute("PRAGMA user_version").fetchone()
    return application, version


def _is_ledger(db: sqlite3.Connection, path: Path) -> bool:
    """False for an empty database. Raises LedgerError for one that is something else."""
    # The tables first: whoever makes a ledger makes both in one transaction, perhaps between these lines.
    [tables] = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    application, version = _version(db)
    if (application, version) == (APPLICATION_ID, VERSION):
        return True
    if application == APPLICATION_ID:
        raise LedgerError(
            f"the ledger {str(path)!r} is of version {version}, and this Loophound knows version {VERSION}; "
            "move it away, or name another file"
        )
    if tables:
        raise LedgerError(f"{str(path)!r} is a database, but no ledger of Loophound; name another file")
    return False


def _open_or_make(db: sqlite3.Connection, path: Path) -> None:
    if _is_ledger(db, path):
        return
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("BEGIN IMMEDIATE")
    if not _is_ledger(db, path):  # another process may have been faster
        for statement in SCHEMA.split(";"):
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {VERSION}")
    db.execute("COMMIT")


# Rows


def _merge(db: sqlite3.Connection, fresh: Group) -> None:
    group = Group(fresh.fingerprint, fresh.cause)
    row = db.execute("SELECT * FROM grouped WHERE fingerprint = ?", (group.fingerprint,)).fetchone()
    if row is not None:
        _fill(group, row[2:], counted=True)
    group.merge(fresh)
    histogram = json.dumps(group.histogram.to_dict())
    db.execute(
        "INSERT OR REPLACE INTO grouped VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (group.fingerprint, group.cause.value, group.first_at_s, group.last_at_s, group.count, group.total_s,
         group.worst_s, group.victims, histogram),
    )  # fmt: skip
    for stall in fresh.records:
        body = json.dumps(stall.to_dict())
        db.execute("INSERT INTO record VALUES (?, ?, ?)", (group.fingerprint, event_of(stall).at_s, body))
    db.execute(
        "DELETE FROM record WHERE fingerprint = :name AND rowid NOT IN"
        " (SELECT rowid FROM record WHERE fingerprint = :name ORDER BY at_s DESC LIMIT :most)",
        {"name": group.fingerprint, "most": MOST_RECORDS},
    )


def _fill(group: Group, row: Sequence[Any], *, counted: bool) -> None:
    first, last, count, total, worst, victims, histogram = row
    group.see(float(first))
    group.see(float(last))
    if counted:
        group.count, group.total_s, group.worst_s, group.victims = int(count), float(total), float(worst), int(victims)
        group.histogram = Histogram.from_dict(json.loads(histogram))


def _row(db: sqlite3.Connection, event: Event) -> tuple[object, ...]:
    frames = json.dumps([[frame.file, frame.line, frame.function, frame.app] for frame in event.stack])
    db.execute("INSERT OR IGNORE INTO stack (frames) VALUES (?)", (frames,))
    [number] = db.execute("SELECT id FROM stack WHERE frames = ?", (frames,)).fetchone()
    return event.fingerprint, event.at_s, event.duration_s, event.victims, _text(event.request), number


def _text(text: str | None) -> str | None:
    """SQLite's text is UTF-8, which has no lone surrogates."""
    return None if text is None else text.encode("utf-8", "backslashreplace").decode()


def _events(db: sqlite3.Connection, since_s: float) -> Iterator[Event]:
    stacks: dict[int, Stack] = {
        number: tuple(StackFrame(*frame) for frame in json.loads(frames))
        for number, frames in db.execute("SELECT id, frames FROM stack")
    }
    rows = db.execute(
        "SELECT fingerprint, at_s, duration_s, victims, request, stack FROM event WHERE at_s >= ?", (since_s,)
    )
    for fingerprint, at_s, duration_s, victims, request, stack in rows:
        yield Event(fingerprint, at_s, duration_s, victims, request, stacks[stack])


# Pruning


def _prune(db: sqlite3.Connection, now_s: float, limits: Limits) -> None:
    oldest_s = now_s - limits.age_days * 86400
    db.execute("DELETE FROM event WHERE at_s < ?", (oldest_s,))
    # Rows go in with rising numbers, so this is the latest of them, without counting.
    db.execute("DELETE FROM event WHERE rowid <= (SELECT max(rowid) FROM event) - ?", (limits.events,))
    db.execute("DELETE FROM grouped WHERE last_at_s < ?", (oldest_s,))
    _drop_groups(db, limits.groups)
    _drop_orphans(db)
    while _used_bytes(db) > limits.bytes:
        [events] = db.execute("SELECT count(*) FROM event").fetchone()
        [groups] = db.execute("SELECT count(*) FROM grouped").fetchone()
        if not groups:
            return
        if events > groups:
            half = "SELECT rowid FROM event ORDER BY rowid LIMIT ?"
            db.execute(f"DELETE FROM event WHERE rowid IN ({half})", (math.ceil(events / 2),))
        else:
            _drop_groups(db, groups // 2)
        _drop_orphans(db)


def _drop_groups(db: sqlite3.Connection, most: int) -> None:
    latest = "SELECT fingerprint FROM grouped ORDER BY last_at_s DESC LIMIT ?"
    db.execute(f"DELETE FROM grouped WHERE fingerprint NOT IN ({latest})", (most,))


def _drop_orphans(db: sqlite3.Connection) -> None:
    for table in ("event", "record"):
        db.execute(f"DELETE FROM {table} WHERE fingerprint NOT IN (SELECT fingerprint FROM grouped)")
    db.execute("DELETE FROM stack WHERE id NOT IN (SELECT stack FROM event)")


def _used_bytes(db: sqlite3.Connection) -> int:
    [pages] = db.execute("PRAGMA page_count").fetchone()
    [free] = db.execute("PRAGMA freelist_count").fetchone()
    [size] = db.execute("PRAGMA page_size").fetchone()
    return int((pages - free) * size)

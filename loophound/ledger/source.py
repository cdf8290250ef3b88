"""What a report is made from: a ledger or a record file, told apart by their content."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from loophound.errors import ConfigError, LoophoundError
from loophound.ledger.groups import Groups
from loophound.ledger.recording import read_lines

STDIN = "-"
SQLITE_MAGIC = b"SQLite format 3\0"  # sqlite.org/fileformat2.html, section 1.3.1
MOST_TOLD = 20


@dataclass(frozen=True, slots=True)
class Source:
    """Groups, where they came from, and what could not be read."""

    name: str
    groups: Groups
    problems: tuple[str, ...] = ()


def read_source(name: str, since_s: float = -math.inf) -> Source:
    """Read the file, or standard input for `-`.

    Raises ConfigError when it cannot be opened, LoophoundError when nothing in it can be read.
    """
    if name == STDIN:
        return _recording("standard input", sys.stdin.buffer, since_s)
    try:
        with open(name, "rb") as file:
            # SQLite is imported where it is needed: a Python without it can read record files.
            if not file.peek(len(SQLITE_MAGIC)).startswith(SQLITE_MAGIC):
                return _recording(name, file, since_s)
    except OSError as error:
        raise ConfigError(f"cannot read {name!r}: {(error.strerror or str(error)).lower()}") from None
    return _ledger(name, since_s)


def _recording(name: str, lines: Iterable[bytes], since_s: float) -> Source:
    recording = read_lines(lines, since_s)
    broken = recording.broken
    if broken and not recording.records:
        raise LoophoundError(f"{name!r} is neither a ledger nor a record file: {broken[0]}")
    told = [f"{name}: {line}" for line in broken[:MOST_TOLD]]
    if len(broken) > MOST_TOLD:
        told.append(f"{name}: {len(broken) - MOST_TOLD} more broken lines")
    return Source(name, recording.groups, tuple(told))


def _ledger(name: str, since_s: float) -> Source:
    from loophound.ledger import store

    path = Path(name)
    groups = store.load(path, since_s)
    oldest_s = store.oldest_event_s(path) if since_s > -math.inf else None
    if oldest_s is None or oldest_s <= since_s:
        return Source(name, groups)
    at = datetime.fromtimestamp(oldest_s).isoformat(" ", "seconds")
    return Source(name, groups, (f"{name}: single stalls are kept back to {at} only; older ones are not counted",))

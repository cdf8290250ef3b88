"""A record file as groups: what `--record` wrote, a broken line told and passed over."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from loophound.detector.records import Stall
from loophound.ledger.groups import Groups
from loophound.ledger.reading import read_stall

CALL_SCHEMA = b'"loophound.call/'


@dataclass(slots=True)
class Recording:
    """What a record file has in it."""

    groups: Groups
    records: int = 0
    broken: list[str] = field(default_factory=list)  # "line 7: not JSON: ..."


def read_lines(lines: Iterable[bytes], since_s: float = -math.inf) -> Recording:
    """Group the records. One that still went on counts only where the same stall's end is missing."""
    recording = Recording(Groups(since_s))
    ongoing: dict[str, Stall] = {}
    for number, line in enumerate(lines, 1):
        # Flagged calls share the file; they are no stalls.
        if not line.strip() or CALL_SCHEMA in line[:64]:
            continue
        try:
            stall = read_stall(line.decode())
        except UnicodeDecodeError:
            recording.broken.append(f"line {number}: not UTF-8")
        except ValueError as error:
            recording.broken.append(f"line {number}: {error}")
        else:
            recording.records += 1
            if stall.ongoing:
                ongoing[stall.id] = stall
            else:
                ongoing.pop(stall.id, None)
                recording.groups.add(stall)
    for stall in ongoing.values():  # the process ended in them
        recording.groups.add(stall)
    return recording

"""Whatever a record file has in it, the report is made: what reading lets through, every face can show."""

from __future__ import annotations

import io
import json
import random
from typing import Any

import pytest
from rich.console import Console

from loophound.dashboards.report import data, detail, flame, table
from loophound.dashboards.report.page import page
from loophound.dashboards.report.rows import ranked
from loophound.ledger.recording import read_lines
from loophound.source import SourceLines
from tests.dashboards.report.groups import hostile, stalls

ODD: list[Any] = [
    None, 0, -1, 1, True, 1.5, 1e308, 10**30, "", "x", "\x00", "\ud800", "é" * 5000, [], {}, "/dev/zero",
    "2026-11-22T05:00:00",
]  # fmt: skip


def spoil(part: Any, chance: random.Random) -> None:
    """Put something odd somewhere into a JSON value."""
    if not isinstance(part, (dict, list)) or not part:
        return
    key = chance.choice(list(part) if isinstance(part, dict) else list(range(len(part))))
    if chance.random() < 0.35:
        part[key] = chance.choice(ODD)
    else:
        spoil(part[key], chance)


@pytest.mark.parametrize("seed", range(12))
def test_every_face_shows_what_reading_lets_through(seed: int) -> None:
    chance = random.Random(seed)
    records = [one.to_dict() for one in (*stalls(), hostile())]
    for record in records:
        spoil(record, chance)
    recording = read_lines([json.dumps(record).encode() for record in records])
    assert recording.records + len(recording.broken) == len(records)
    known, sources = ranked(recording.groups, "total"), SourceLines()
    console = Console(file=io.StringIO(), width=80)
    console.print(table.table(known, 0.0, 80))
    for group in known:
        console.print(detail.panels(group, sources))
        assert "\x1b" not in detail.lines(group, sources)
    assert "\x1b" not in table.lines(known) + flame.collapsed(known)
    json.loads(json.dumps([flame.speedscope("x", known), data.report("x", known, full=True)], allow_nan=False))
    page("x", known, sources, 0.0).encode()

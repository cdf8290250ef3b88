from __future__ import annotations

import io

import pytest
from rich.console import Console, RenderableType

from loophound.dashboards.report import detail, table
from loophound.dashboards.report.rows import ranked
from loophound.ledger.compare import compare
from loophound.source import SourceLines
from tests.dashboards.report.groups import groups, hostile

NOW_S = 1795327200.0


def shown(rendering: RenderableType, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None, _environ={})
    with console.capture() as captured:
        console.print(rendering)
    return captured.get().splitlines()


def test_plain_lines() -> None:
    text = table.lines(ranked(groups(), "total"), when=lambda _: "2026-11-22 05:03:00")
    assert text.splitlines() == [
        "id        cause    count   total   worst     p50     p99  victims  last                 where",
        "57a12ed   starved      1  2.00 s  2.00 s  2.00 s  2.00 s        0  2026-11-22 05:03:00  the machine",
        "c0ffee12  io           2  800 ms  500 ms  292 ms  500 ms       74  2026-11-22 05:03:00  main.py:44 in show",
        "5leeb     sleep        4  600 ms  150 ms  150 ms  150 ms        4  2026-11-22 05:03:00  main.py:7 in charge",
    ]


def test_the_summary() -> None:
    assert table.summary(groups()) == "3 groups, 7 stalls, 3.40 s in all"


@pytest.mark.parametrize("width", [80, 99, 100, 200])
def test_the_table_fits_every_width(width: int) -> None:
    lines = shown(table.table(ranked(groups(hostile()), "count"), NOW_S, width), width)
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert "5leeb" in text
    assert "600 ms" in text
    assert ("p99" in text) == (width >= 100)
    assert "\x1b" not in text


def test_a_group_in_full() -> None:
    [group] = ranked(groups(), "worst", 2)[1:]
    lines = detail.lines(group, SourceLines()).splitlines()
    assert lines[0] == "group: c0ffee12, io, main.py:44 in show"
    assert lines[1].startswith("seen: 2 times, first ")
    assert lines[2] == "held the loop: 800 ms in all, worst 500 ms, median 292 ms, p99 500 ms"
    assert "victims: 74 other requests waited" in lines
    assert "requests: GET /show/{id} (2 times)" in lines
    assert "latest: 500 ms GET /show/7, 300 ms GET /show/7" in lines
    assert "BLOCKED 500 ms · io · main.py:44 in show · GET /show/7" in lines
    assert "  remedy: use httpx.AsyncClient" in lines
    assert "stack, 6 frames, 800 ms" in lines
    assert lines[-1] == "  /usr/lib/python3.11/socket.py:706 in readinto"


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_group_in_full_on_a_terminal(width: int) -> None:
    for group in groups(hostile()):
        lines = shown(detail.panels(group, SourceLines()), width)
        assert max(map(len, lines)) <= width
        assert any("BLOCKED" in line for line in lines)


def test_two_runs() -> None:
    before, now = groups(), [group for group in groups(hostile()) if group.fingerprint != "57a12ed"]
    text = table.changes_lines(compare(now, before)).splitlines()
    assert text[0].split() == ["change", "id", "cause", "count", "total", "p50", "where"]
    assert [line.split()[0] for line in text[1:]] == ["new", "same", "same", "gone"]
    assert "2 -> 2  800 ms -> 800 ms" in text[2]
    assert " gone" not in text[4][5:]
    for width in (60, 80, 120):
        assert max(map(len, shown(table.changes_table(compare(now, before)), width))) <= width

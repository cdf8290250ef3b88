from __future__ import annotations

import io

from rich.console import Console

from loophound.demo.judge import judge
from loophound.demo.plan import HEALTHY, PLANTED
from loophound.demo.table import render
from loophound.demo.traffic import Load
from loophound.detector.records import Stall
from tests.demo.records import SITES, place, right_run, stall


def shown(stalls: list[Stall]) -> str:
    file = io.StringIO()
    console = Console(file=file, width=80, color_system=None)
    console.print(render(judge(stalls, PLANTED, SITES, HEALTHY), Load(requests=4812, slowest_s=0.417)))
    return file.getvalue()


def test_a_right_run() -> None:
    text = shown(right_run())
    assert "10 of 10 named right" in text
    assert "0 accusations on healthy endpoints" in text
    assert "4812 healthy requests; the slowest took 0.42 s" in text
    first, second = (line.split() for line in text.splitlines() if "sleep" in line or "/payments" in line)
    line = SITES["sleep"].line
    assert first == ["time.sleep", "sleep", "sleep", f"app.py:{line}", "0.35", "s", "7", "yes"]
    assert second == ["POST", "/payments/4711", f"app.py:{line}", "sleep", f"app.py:{line}", "0.35", "s", "7"]


def test_a_row_takes_two_lines_of_80_columns() -> None:
    _heading, *rows = shown(right_run()).split("10 of 10")[0].split("victims")[1].strip().splitlines()
    assert len([row for row in rows if row.strip(" ─")]) == 2 * len(PLANTED)


def test_what_was_missed_is_told() -> None:
    text = shown([entry for entry in right_run() if entry.cause != "lock"])
    assert "9 of 10 named right" in text
    assert "  POST /stock/tea: not reported" in text


def test_a_busy_machine_is_told() -> None:
    starved = [stall("loop", cause="starved", innocent=True, culprit=None) for _ in range(2)]
    text = shown([entry for entry in right_run() if entry.cause != "cpu"] + starved)
    assert "starved nobody" in text
    assert "  GET /similar/7: not reported, starved instead" in text
    assert "2 calls got no CPU: run the demo again" in text


def test_who_was_accused_is_told() -> None:
    wrong = stall("json", culprit=place(SITES["json"], line=1), request=None)
    text = shown([*right_run(), wrong])
    assert "1 accusation on healthy endpoints" in text
    assert "  native app.py:1, no request" in text


def test_other_reports_are_counted() -> None:
    elsewhere = [stall("json", culprit=place(SITES["json"], file="gzip.py", line=9), request=None) for _ in range(2)]
    assert "also reported: native gzip.py:9, 2 times" in shown([*right_run(), *elsewhere])

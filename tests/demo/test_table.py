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
    console = Console(file=io.StringIO(), width=160, color_system=None)
    console.print(render(judge(stalls, PLANTED, SITES, HEALTHY), Load(requests=4812, slowest_s=0.417)))
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_a_right_run() -> None:
    text = shown(right_run())
    assert "10 of 10 named right" in text
    assert "0 accusations on healthy endpoints, in 4812 requests to them (the slowest took 0.42 s)" in text
    row = next(line for line in text.splitlines() if "POST /payments/4711" in line)
    assert f"app.py:{SITES['sleep'].line} sleep 0.35 s" in row
    assert "yes" in row


def test_what_was_missed_is_told() -> None:
    text = shown([entry for entry in right_run() if entry.cause != "lock"])
    assert "9 of 10 named right" in text
    assert "no: not reported" in text


def test_who_was_accused_is_told() -> None:
    wrong = stall("json", culprit=place(SITES["json"], line=1), request=None)
    text = shown([*right_run(), wrong])
    assert "1 accusation on healthy endpoints" in text
    assert "accused: app.py:1 native 0.35 s, no request" in text

"""The report on a terminal and off it, on what it says and on what it must never do."""

from __future__ import annotations

import dataclasses
import io
import os
from pathlib import Path
from typing import Any

import pyte
import pytest
from rich.console import Console

from loophound.dashboards.terminal import TerminalFace
from loophound.detector.records import Cause, Evidence, OtherThread, Place, ProfileLine, Request, StackFrame, Stall
from tests.stalls import STACK, stall

HEADLINE = "BLOCKED 312 ms · io · main.py:44 in show · GET /show/7"
HOSTILE = "\x1b]0;owned\x07\x1b[2J\r\n\x9b31m[bold red]x[/]\u202e\udc80"


def written(*stalls: Stall, close: bool = False, **console: Any) -> str:
    stream = io.StringIO()
    face = TerminalFace(Console(file=stream, **{"_environ": {}, **console}))
    for one in stalls:
        face(one)
    if close:
        face.close()
    return stream.getvalue()


def on_screen(text: str, width: int) -> list[str]:
    """What a terminal of that width shows."""
    screen = pyte.Screen(width, 200)
    pyte.Stream(screen).feed(text.replace("\n", "\r\n"))
    return [line.rstrip() for line in screen.display]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "main.py"
    file.write_text("def show(url):\n    before = 1\n    row = get(url)  # [red]\n    after = 2\n    return row\n\n")
    return file


def culprit(file: Path) -> Place:
    return Place(str(file), 3, "show", "row = get(url)  # [red]")


def test_plain_layout() -> None:
    assert written(stall(), width=60).splitlines() == [
        HEADLINE,
        "  source: /srv/app/main.py:44: row = requests.get(url)",
        "  stack: … 1 frame in asyncio > /srv/app/main.py:44 in show > … 4 frames in requests, urllib3, socket",
        "  evidence: on the CPU 1% of the time, in system call recvfrom on tcp 127.0.0.1:5432, "
        "captured by the observer",
        "  victims: 37 other requests waited",
        "  remedy: use httpx.AsyncClient",
    ]


@pytest.mark.parametrize("width", [20, 60, 72, 80, 120, 200])
def test_panel_fits_every_width(width: int, source: Path) -> None:
    text = written(stall(culprit=culprit(source)), force_terminal=True, width=width)
    lines = [line for line in on_screen(text, width) if line]
    assert (lines[0][0], lines[-1][0]) == ("╭", "╰")
    assert all(len(line) == width and line[-1] in "╮│╯" for line in lines)
    words = " ".join(line[1:-1].strip() for line in lines)
    if width >= 60:
        assert HEADLINE.replace(":44", ":3") in words
        assert "> 3     row = get(url)  # [red]" in words
        assert "2     before = 1" in words
        assert "5     return row" in words
        assert "… 4 frames in requests, urllib3, socket" in words
        assert "37 other requests waited" in words


def test_marked_line_is_cut_not_wrapped(tmp_path: Path) -> None:
    file = tmp_path / "long.py"
    file.write_text(f"x = '{'y' * 300}'\n")
    lines = on_screen(written(stall(culprit=Place(str(file), 1, "f")), force_terminal=True, width=60), 60)
    assert sum("yyy" in line for line in lines) == 1


def test_no_color_is_honoured() -> None:
    coloured = written(stall(), force_terminal=True, width=80, _environ={"TERM": "xterm-256color"})
    plain = written(stall(), force_terminal=True, width=80, _environ={"TERM": "xterm-256color", "NO_COLOR": "1"})
    assert "\x1b[31m" in coloured
    assert "31m" not in plain


@pytest.mark.parametrize("terminal", [False, True])
def test_nothing_hostile_reaches_the_terminal(terminal: bool, tmp_path: Path) -> None:
    file = tmp_path / "evil.py"
    file.write_bytes(b"x = 1 # \x1b[31mred\x07\x0c\n")
    one = stall(
        culprit=Place(str(file), 1, HOSTILE),
        stack=(
            StackFrame(HOSTILE, 1, HOSTILE, app=True),
            StackFrame(f"/lib/python3.11/{HOSTILE}.py", 1, "f", app=False),
        ),
        profile=(ProfileLine(HOSTILE, 1, HOSTILE, 0.5), ProfileLine("b.py", 2, "b", 0.5)),
        request=Request(None, HOSTILE, HOSTILE, None, None),
        evidence=Evidence(syscall=HOSTILE, target=HOSTILE, captured_by=HOSTILE),
        remedy=HOSTILE,
    )
    threads = stall(
        cause=Cause.CONTENTION, innocent=True, culprit=None, fingerprint="2",
        other_thread=OtherThread(HOSTILE, HOSTILE, 3, HOSTILE),
    )  # fmt: skip
    text = written(one, one, threads, dataclasses.replace(one, ongoing=True, id="3"), close=True,
                   force_terminal=terminal, no_color=True, width=100)  # fmt: skip
    for sequence in ("\x1b]", "\x1b[2J", "\x07", "\r", "\x9b", "\u202e", "\udc80", "\x0c"):
        assert sequence not in text
    assert "[bold red]x[/]" in text.replace("\n", "")
    text.encode()


def test_innocent_causes_accuse_nobody_and_name_who_it_was() -> None:
    thread = OtherThread("worker-3", "/srv/app/crunch.py", 12, "crunch")
    base: dict[str, Any] = {"innocent": True, "culprit": None}
    said = {
        Cause.CONTENTION: (
            "thread worker-3 at crunch.py:12 in crunch",
            "thread worker-3 held the GIL at /srv/app/crunch.py:12",
        ),
        Cause.STARVED: ("the machine", "the machine gave the thread no CPU for 400 ms"),
        Cause.SUSPENDED: ("stopped process", "the process was stopped"),
        Cause.FLOOD: ("many short callbacks", "many short callbacks ran"),
    }
    for cause, (who, sentence) in said.items():
        other = thread if cause is Cause.CONTENTION else None
        text = written(stall(cause=cause, other_thread=other, evidence=Evidence(runqueue_s=0.4), **base))
        assert f"BLOCKED 312 ms · {cause.value} · {who} · GET /show/7" in text
        assert f"blame: {sentence}" in text
        assert "no line of the loop's code is to blame" in text
        assert "source:" not in text


def test_collection_names_its_trigger_as_such() -> None:
    seen = Evidence(gc_s=0.3, gc_generation=2, gc_collected=100_000)
    text = written(stall(cause=Cause.GC, evidence=seen))
    assert "a garbage collection ran (generation 2, 100000 objects, 300 ms); main.py:44 in show triggered it" in text
    assert "no line of the loop's code" in written(stall(cause=Cause.GC, evidence=seen, innocent=True, culprit=None))


def test_profile_of_several_lines() -> None:
    profile = (ProfileLine("/a/util.py", 3, "mix", 0.12), ProfileLine("/a/main.py", 44, "show", 0.83))
    assert "profile: 83% main.py:44 in show, 12% util.py:3 in mix" in written(stall(cause=Cause.CPU, profile=profile))


def test_ongoing_is_announced_and_not_counted() -> None:
    text = written(stall(ongoing=True, duration_s=1.02), stall(duration_s=3.2), close=True)
    assert text.startswith("BLOCKED for 1.0 s and going on … · io · main.py:44 in show · GET /show/7\nBLOCKED 3.20 s")
    assert "summary: main.py:44 in show · io · 1 time, worst 3.20 s, total 3.20 s" in text


def test_repeats_are_counted_in_ever_fewer_lines() -> None:
    lines = written(*[stall(duration_s=0.2 + i / 100) for i in range(9)], close=True).splitlines()
    assert sum(line.startswith("BLOCKED") for line in lines) == 1
    assert [line for line in lines if line.startswith("again")] == [
        "again: main.py:44 in show · io · 2 times, worst 0.21 s",
        "again: main.py:44 in show · io · 4 times, worst 0.23 s",
        "again: main.py:44 in show · io · 8 times, worst 0.27 s",
    ]
    assert lines[-1] == "summary: main.py:44 in show · io · 9 times, worst 0.28 s, total 2.16 s"


def test_summary_table_on_a_terminal() -> None:
    text = written(stall(), stall(fingerprint="2", duration_s=2.0), close=True, force_terminal=True, width=60)
    table = [line for line in on_screen(text, 60) if "│" in line][-2:]
    assert "2.00 s" in table[0]
    assert "0.31 s" in table[1]


def test_nothing_to_sum_up() -> None:
    assert written(close=True) == ""


@pytest.mark.parametrize("file", ["<string>", "<frozen importlib._bootstrap>", "/nowhere/x.py", "/dev/zero", "a\0b"])
def test_source_that_cannot_be_read(file: str) -> None:
    assert "BLOCKED 312 ms" in written(stall(culprit=Place(file, 4, "f")), force_terminal=True, width=80)
    assert "run(1)" in written(stall(culprit=Place(file, 4, "f", "run(1)")), force_terminal=True, width=80)


def test_edited_source_is_not_shown_for_what_ran(source: Path) -> None:
    text = written(stall(culprit=Place(str(source), 3, "show", "was = this")), force_terminal=True, width=80)
    assert "was = this" in text
    assert "row = get" not in text


def test_recursion_and_deep_stacks_stay_short() -> None:
    deep = (StackFrame("/srv/a.py", 1, "f", app=True),) * 900
    wide = tuple(StackFrame(f"/srv/{i}.py", i, "f", app=True) for i in range(1, 200))
    assert "/srv/a.py:1 in f (900 times)" in written(stall(stack=deep))
    text = written(stall(stack=STACK[:1] + wide))
    assert "… 187 more lines" in text
    assert "/srv/199.py:199 in f" in text


class Broken(io.StringIO):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        raise self.error


@pytest.mark.parametrize(
    "error", [BrokenPipeError(), OSError(5, "io"), ValueError("closed"), UnicodeEncodeError("a", "b", 0, 1, "c")]
)
@pytest.mark.parametrize("terminal", [False, True])
def test_a_broken_stream_is_no_error(error: Exception, terminal: bool) -> None:
    face = TerminalFace(Console(file=Broken(error), force_terminal=terminal))
    face(stall())
    face(stall(ongoing=True))
    face.close()


def test_a_reader_that_left_costs_the_program_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w", buffering=1)
    TerminalFace(Console(file=stream, force_terminal=True))(stall())
    with pytest.raises(BrokenPipeError):
        stream.close()
    os.write(1, b"still here")
    assert capfd.readouterr().out == "still here"


def test_a_stream_without_unicode() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    TerminalFace(Console(file=stream))(stall())
    assert raw.getvalue().startswith(b"BLOCKED 312 ms | io | main.py:44 in show | GET /show/7")

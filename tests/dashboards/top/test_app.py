"""The dashboard on a feed: reading, losing and finding it again, writing reports, lines without a terminal."""

from __future__ import annotations

import json
import time
from datetime import datetime
from pathlib import Path

import pytest

from loophound.dashboards.feed import FeedReader
from loophound.dashboards.top import plain
from loophound.dashboards.top.app import Dashboard
from loophound.dashboards.top.interface import Action
from loophound.dashboards.top.look import ASCII, UNICODE
from loophound.dashboards.top.writing import write_report
from tests.dashboards.feed.fake import FakeFeed, Message, hello, snapshot, state, worker
from tests.dashboards.top.shop import blocked, figures_of, opening

WAIT_S = 20.0


class FixedFeed:
    """Gives what it was given, once."""

    connected = True

    def __init__(self, *messages: Message) -> None:
        self.messages = list(messages)

    def fileno(self) -> int:
        raise AssertionError("nobody waits for it")

    def read(self, timeout_s: float | None = None) -> list[Message]:
        messages, self.messages = self.messages, []
        return messages


def dashboard(*messages: Message, now_s: float = 5000.0) -> Dashboard:
    made = Dashboard(FixedFeed(*messages), UNICODE, monotonic=lambda: now_s)
    made.read()
    return made


def until(made: Dashboard, wanted: str) -> str:
    deadline_s = time.monotonic() + WAIT_S
    while wanted not in (said := plain.summary(made)):
        made.read(0.05)
        assert time.monotonic() < deadline_s, said
    return said


def test_a_line_says_how_the_server_does() -> None:
    made = dashboard(*opening(), state(0), state(1), figures_of(0, 0), figures_of(1, 0))
    told = plain.summary(made)
    assert told.startswith("ok, lag 0.3 ms, p99 4.2 ms, busy ")
    assert told.endswith("req/s, 32 in flight, 72 stalls, held 43.9 s")


def test_a_line_names_who_blocks_which_worker() -> None:
    told = plain.summary(dashboard(hello(), worker(0), worker(1), state(0), blocked(1, 1.4)))
    assert told.startswith(
        "worker 1 BLOCKED 1.4 s by services.py:34 in is_address in GET /addresses/aaaaaaaaaaaa@, lag 1.40 s"
    )


def test_a_line_tells_of_a_worker_that_is_gone() -> None:
    gone = worker(1, "gone", why="it was killed by SIGKILL")
    assert plain.summary(dashboard(hello(), worker(0), state(0), gone)).startswith(
        "worker 1 was killed by SIGKILL, lag"
    )


def test_lines_come_once_a_second_also_without_a_word() -> None:
    now_s = iter(n * 0.3 for n in range(1000))
    made = Dashboard(FixedFeed(hello(), worker(), state()), ASCII, monotonic=lambda: next(now_s))
    lines = plain.lines(made, lambda: datetime(2026, 11, 22, 4, 30, 14))
    assert [next(lines) for _ in range(3)] == ["04:30:14 ok, lag 0.3 ms, 0 stalls"] * 3


def test_the_feed_lost_and_found_again(tmp_path: Path) -> None:
    path = tmp_path / "feed"
    with FakeFeed(path, [hello(), worker(), state(), snapshot()]):
        reader = FeedReader(path)
        made = Dashboard(reader, UNICODE)
        until(made, "120 req/s")
    until(made, "looking for it")
    assert made.in_trouble
    with FakeFeed(path, [hello(server="99"), worker(pid=99), state(pid=99)]):
        assert "ok" in until(made, "ok, lag")
        assert made.interface.message(made.now_s()) == "a new process serves: 99"
    reader.close()


@pytest.mark.parametrize("action", [Action.WRITE_SVG, Action.WRITE_HTML, Action.WRITE_JSON])
def test_reports(action: Action, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = dashboard(*opening(), state(0), blocked(1, 1.4), figures_of(0, 0))
    said = write_report(action, made, (120, 40))
    [file] = tmp_path.iterdir()
    text = file.read_text()
    assert said == f"wrote {file}"
    if action is Action.WRITE_SVG:
        assert text.startswith("<svg")
        assert "is_address" in text
        assert "BLOCKED" in text
    elif action is Action.WRITE_HTML:
        assert text.startswith("<!doctype html>")
        assert "services.py:34 in is_address" in text
    else:
        document = json.loads(text)
        assert document["schema"] == "loophound.report/1"
        assert [total["count"] for total in document["totals"]] == [12] * 6
        assert [(loop["worker"], loop["state"]) for loop in document["loops"]] == [(0, "ok"), (1, "blocked")]


def test_a_report_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = dashboard(*opening())
    monkeypatch.setattr(Path, "write_text", _full_disk)
    assert write_report(Action.WRITE_JSON, made, (80, 24)).endswith(": no space left on device")


def _full_disk(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")

"""The access log on a fake clock, and its writer on real pipes."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import Any

import pytest

from loophound.server import access_log
from loophound.server.access_log import AccessLog, writer
from tests.server import apps
from tests.server.fakes import FakeLoop


class Line:
    """As much of a request as a line needs."""

    def __init__(
        self, target: bytes = b"/", status: int = 200, took_ns: int = 1_250_000, client: Any = ("127.0.0.1", 5000)
    ) -> None:
        self.scope = {"method": "GET", "http_version": "1.1", "client": client}
        self.target = target
        self.status = status
        self.began_ns = 5
        self.ended_ns = 5 + took_ns


class Sink:
    """Takes at most `room` bytes."""

    def __init__(self, room: int = 10**9) -> None:
        self.room = room
        self.writes: list[bytes] = []

    def __call__(self, data: bytes) -> int:
        taken = data[: self.room]
        self.room -= len(taken)
        if taken:
            self.writes.append(taken)
        return len(taken)


def log_to(sink: Any, **options: Any) -> tuple[AccessLog, FakeLoop]:
    loop = FakeLoop()
    return AccessLog(loop, sink, **options), loop  # type: ignore[arg-type]


def test_one_write_for_many_lines() -> None:
    sink = Sink()
    log, loop = log_to(sink)
    log.record(Line(b"/x?y"))  # type: ignore[arg-type]
    log.record(Line(status=299, took_ns=90_000_000))  # type: ignore[arg-type]
    loop.advance(0.019)
    assert sink.writes == []
    loop.advance(0.002)
    assert sink.writes == [
        b'INFO:     127.0.0.1:5000 - "GET /x?y HTTP/1.1" 200 OK 1.2ms\n'
        b'INFO:     127.0.0.1:5000 - "GET / HTTP/1.1" 299 90.0ms\n'
    ]
    loop.advance(1)
    assert not loop.timers  # nothing runs while nothing is to be written


@pytest.mark.parametrize(
    ("client", "text"),
    [
        (("::1", 5), "[::1]:5"),
        (None, "unix"),
        (["10.0.0.1", 7], "10.0.0.1:7"),
        ("who knows", "who knows"),
        ((["a"], 1), "['a']:1"),
    ],
)
def test_clients(client: Any, text: str) -> None:
    sink = Sink()
    log, _ = log_to(sink)
    for _ in range(2):
        log.record(Line(client=client))  # type: ignore[arg-type]
    log.flush()
    assert sink.writes == [f'INFO:     {text} - "GET / HTTP/1.1" 200 OK 1.2ms\n'.encode() * 2]


def test_the_rest_leaves_at_the_end() -> None:
    sink = Sink()
    log, _ = log_to(sink, colors=True)
    log.record(Line())  # type: ignore[arg-type]
    log.close()
    assert sink.writes[0].startswith(b"\x1b[32mINFO\x1b[0m:     127.0.0.1")


def test_what_is_not_taken_waits_and_is_bounded(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(access_log, "BUFFER_BYTES", 1000)
    sink = Sink(room=10)
    log, loop = log_to(sink)
    for _ in range(50):
        log.record(Line())  # type: ignore[arg-type]
        loop.advance(0.02)
    sink.room = 10**9
    loop.advance(0.1)
    lines = b"".join(sink.writes).splitlines()
    assert set(lines) == {b'INFO:     127.0.0.1:5000 - "GET / HTTP/1.1" 200 OK 1.2ms'}
    found = re.search(r"(\d+) lines of the access log were dropped", caplog.text)
    assert found
    assert len(lines) + int(found[1]) == 50
    assert b"".join(sink.writes).count(b"\n") < 25


def test_pipe_that_nobody_reads_does_not_block() -> None:
    reading, writing = os.pipe()
    with open(writing, "w") as stream:
        write = writer(stream)
        data = b"x" * 1_000_000
        taken = write(data)
        assert 0 < taken < len(data)
        assert write(data) == 0
        os.read(reading, 65536)
        assert write(data) > 0
        os.close(reading)
        with pytest.raises(BrokenPipeError):
            write(data)


def test_broken_pipe_ends_the_log_once(caplog: pytest.LogCaptureFixture) -> None:
    def broken(data: bytes) -> int:
        raise BrokenPipeError("gone")

    log, loop = log_to(broken)
    for _ in range(3):
        log.record(Line())  # type: ignore[arg-type]
        loop.advance(0.1)
    assert caplog.text.count("The access log ends") == 1


def test_writers(tmp_path: Path) -> None:
    with open(tmp_path / "log", "w") as stream:
        assert writer(stream)(b"a" * 10_000) == 10_000
    assert (tmp_path / "log").stat().st_size == 10_000
    text = io.StringIO()
    assert writer(text)(b"abc") == 3
    assert text.getvalue() == "abc"


def test_lines_of_served_requests(serve: Any, capfd: pytest.CaptureFixture[str]) -> None:
    running = serve(apps.path, access_log=True)
    running.get(b"/slow?%1B")
    running.connect().send(b"GET / HTTP/1.1\r\n\r\n").rest()  # refused: the log has a line of its own for it
    running.stop()
    out = capfd.readouterr().out
    found = re.fullmatch(r'INFO:     127\.0\.0\.1:\d+ - "GET /slow\?%1B HTTP/1\.1" 200 OK (\d+\.\d)ms\n', out)
    assert found, out
    assert float(found[1]) >= 19

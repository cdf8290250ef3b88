"""A loop with a clock that tests turn, and a transport that keeps what is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from loophound.server.protocol import HttpConnection
from loophound.server.site import Site
from tests.server import apps


class FakeTimer:
    def __init__(self, when_s: float, call: Callable[[], None]) -> None:
        self.when_s = when_s
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeTask:
    def done(self) -> bool:
        return False

    def add_done_callback(self, call: Any) -> None:
        pass


class FakeLoop:
    """Time, timers, and tasks that never run: their requests stay in flight."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.timers: list[FakeTimer] = []

    def time(self) -> float:
        return self.now_s

    def call_later(self, delay_s: float, call: Callable[[], None]) -> FakeTimer:
        timer = FakeTimer(self.now_s + delay_s, call)
        self.timers.append(timer)
        return timer

    def create_task(self, coroutine: Any) -> FakeTask:
        coroutine.close()
        return FakeTask()

    def advance(self, seconds: float) -> None:
        """Let time pass, running each timer when it is due."""
        end_s = self.now_s + seconds
        while due := [t for t in self.timers if not t.cancelled and t.when_s <= end_s + 1e-9]:
            timer = min(due, key=lambda t: t.when_s)
            self.timers.remove(timer)
            self.now_s = timer.when_s
            timer.call()
        self.now_s = end_s


class FakeTransport:
    def __init__(self) -> None:
        self.written = b""
        self.closed = ""
        self.reading = True

    def get_extra_info(self, name: str) -> Any:
        return ("127.0.0.1", 5000 if name == "peername" else 80)

    def write(self, data: bytes) -> None:
        self.written += data

    def write_eof(self) -> None:
        self.closed = "half"

    def close(self) -> None:
        self.closed = "closed"

    def abort(self) -> None:
        self.closed = "aborted"

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.closed in ("closed", "aborted")


def connected(loop: FakeLoop) -> tuple[Site, HttpConnection, FakeTransport]:
    site = Site(apps.hello, loop)  # type: ignore[arg-type]
    connection = HttpConnection(site)
    transport = FakeTransport()
    connection.connection_made(transport)  # type: ignore[arg-type]
    return site, connection, transport

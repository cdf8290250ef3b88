"""A feed without a server: what the dashboards' tests read.

    python -m tests.dashboards.feed.fake PATH

serves a made-up server at PATH whose second worker is blocked for three seconds in every ten.
"""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from tests.stalls import stall

Message = dict[str, Any]

LINE = {"file": "/srv/app/main.py", "line": 44, "function": "show", "code": "row = requests.get(url)"}
REQUEST = {"id": None, "method": "GET", "path": "/show/7", "route": "/show/{id}", "client": "127.0.0.1:50312"}


def iso(at_s: float | None = None) -> str:
    moment = datetime.now(UTC) if at_s is None else datetime.fromtimestamp(at_s, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def hello(**changes: Any) -> Message:
    return {
        "type": "hello", "schema": "loophound.feed/1", "version": "0.1.0", "server": "71", "app": "shop.main:app",
        "command": "serve", "addresses": ["http://127.0.0.1:8000"], "started_at": iso(), "now": iso(),
        "threshold_s": 0.1, **changes,
    }  # fmt: skip


def worker(number: int = 0, state: str = "ready", **changes: Any) -> Message:
    return {
        "type": "worker", "worker": number, "pid": 71 + number, "state": state, "at": iso(), "why": None, **changes,
    }  # fmt: skip


def loop(number: int = 0, **changes: Any) -> Message:
    return {
        "schema": "loophound.snapshot/1", "at": iso(), "pid": 71 + number, "loop": "uvloop.Loop",
        "thread": "MainThread", "watched_s": 60.0, "beats": 3000, "lag_p50_s": 0.0001, "lag_p99_s": 0.002,
        "lag_max_s": 0.3, "utilisation": 0.4, "recent_lag_s": 0.0004, "recent_utilisation": 0.35, **changes,
    }  # fmt: skip


def route(name: str = "GET /show/{id}", **changes: Any) -> Message:
    return {
        "route": name, "count": 120, "p50_s": 0.004, "p99_s": 0.03, "max_s": 0.4, "held_s": 1.3, "stalls": 4, **changes,
    }  # fmt: skip


def task(number: int = 0, **changes: Any) -> Message:
    return {
        "name": f"Task-{number}", "coro": "show", "state": "waiting", "age_s": 1.5 + number,
        "where": "main.py:44 in show", **changes,
    }  # fmt: skip


def snapshot(number: int = 0, **changes: Any) -> Message:
    return {
        "type": "snapshot", "worker": number, "pid": 71 + number, "at": iso(), "uptime_s": 60.0,
        "loops": [loop(number)],
        "requests": {"total": 4000, "per_s": 120.5, "in_flight": 3, "p50_s": 0.004, "p99_s": 0.03},
        "routes": [route(), route("GET /", held_s=0.0, stalls=0)],
        "tasks": {"total": 3, "shown": [task(n) for n in range(3)]},
        "executors": [
            {"name": "thread", "kind": "thread", "queued": 2, "running": 4, "rejected": 1, "wait_p99_s": 0.2,
             "run_p99_s": 0.5}
        ],
        "calls": 2, "dropped": {"stalls": 0, "samples": 0, "snapshots": 0}, **changes,
    }  # fmt: skip


def state(number: int = 0, now: str = "ok", **changes: Any) -> Message:
    return {
        "type": "state", "worker": number, "pid": 71 + number, "thread": "MainThread", "loop": "uvloop.Loop",
        "at": iso(), "state": now, "for_s": 12.0, "lag_s": 0.0003, "line": None, "request": None, **changes,
    }  # fmt: skip


def blocked(number: int = 0, for_s: float = 1.4, **changes: Any) -> Message:
    return state(number, "blocked", for_s=for_s, lag_s=for_s, line=LINE, request=REQUEST, **changes)


def stalled(number: int = 0, **changes: Any) -> Message:
    record = stall(at=iso(), pid=71 + number, worker=number, **changes).to_dict()
    return {"type": "stall", "worker": number, "stall": json.loads(json.dumps(record))}


def history(number: int = 0, seconds: int = 120) -> Message:
    return {
        "type": "history", "worker": number, "pid": 71 + number, "thread": "MainThread", "loop": "uvloop.Loop",
        "step_s": 1.0, "lag_s": [0.0003] * seconds, "utilisation": [0.3] * seconds,
    }  # fmt: skip


class FakeFeed:
    """Serves `opening` to each reader that comes, then whatever is sent."""

    def __init__(self, path: str | Path, opening: list[Message] | None = None) -> None:
        self.path = str(path)
        self.opening = [hello(), worker()] if opening is None else opening
        self._readers: list[socket.socket] = []
        self._lock = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.path)
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def send(self, *messages: Message) -> None:
        data = b"".join(json.dumps(message).encode() + b"\n" for message in messages)
        with self._lock:
            for reader in self._readers:
                with contextlib.suppress(OSError):
                    reader.sendall(data)

    @property
    def readers(self) -> int:
        return len(self._readers)

    def disconnect(self) -> None:
        """Close the connections, as a server that ends does."""
        with self._lock:
            for reader in self._readers:
                reader.close()
            self._readers.clear()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        Path(self.path).unlink(missing_ok=True)
        self.disconnect()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                reader, _ = self._listener.accept()
            except OSError:
                return
            with self._lock, contextlib.suppress(OSError):
                reader.sendall(b"".join(json.dumps(message).encode() + b"\n" for message in self.opening))
                self._readers.append(reader)


def main() -> None:
    began_s = time.monotonic()
    with FakeFeed(sys.argv[1], [hello(), worker(0), worker(1), history(0), history(1)]) as feed:
        for tick in range(1 << 30):
            time.sleep(0.25)
            hung_s = (time.monotonic() - began_s) % 10 - 7
            feed.send(state(0), blocked(1, hung_s) if hung_s > 0 else state(1))
            if tick % 4 == 0:
                feed.send(snapshot(0), *([] if hung_s > 0 else [snapshot(1)]))
            if tick % 40 == 0:
                feed.send(stalled(1, id=str(tick), duration_s=3.0))


if __name__ == "__main__":
    main()

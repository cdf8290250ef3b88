"""Many connections that want nothing, or want it slowly, beside a client that wants an answer.

    python benchmarks/crowd.py slow [--connections 1500] [--server uvicorn] [--write]
    python benchmarks/crowd.py idle [--connections 10000] [--server uvicorn] [--write]

`slow` opens so many of each kind at once: half a head (and a byte of it now and then), silence, half a
body (and a byte), and a connection that is kept alive after a request. An honest client, a process of
its own, asks on a connection of its own all the while. Shown is how long it waited, and when the
server closed the others, by its own default time-outs. `idle` opens connections that make one request
each, and shows the memory of one.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import selectors
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from load import HERE, give_up, positive, running
from machine import describe, write

LONGEST_S = 75.0  # then those that are still open are counted as such
DRIP_S = 1.0
AT_ONCE = 200  # connections are opened in batches, each answered before the next
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HONEST_PAUSE_S = 0.01
COMMANDS = {
    "loophound": (
        "loophound",
        "serve",
        "cases:asgi",
        "--app-dir",
        str(HERE),
        "--port",
        "PORT",
        "--no-access-log",
        "--log-level",
        "warning",
    ),
    "uvicorn": ("uvicorn", "cases:asgi", "--app-dir", str(HERE), "--port", "PORT", "--no-access-log"),
    "hypercorn": ("hypercorn", "cases:asgi", "--bind", "127.0.0.1:PORT"),
    "granian": ("granian", "cases:asgi", "--interface", "asgi", "--port", "PORT", "--no-access-log"),
    "gunicorn": ("gunicorn", "cases:asgi", "-k", "asgi", "-b", "127.0.0.1:PORT"),
}


@dataclass
class Kind:
    """One way to hold a server up."""

    name: str
    first: bytes
    drip: bytes = b""  # sent each second
    answered: bool = False  # the server answers `first`
    opened: int = 0
    said: dict[str, int] = field(default_factory=dict)  # status lines that came before the close
    closed_s: list[float] = field(default_factory=list)

    def line(self) -> str:
        said = ", ".join(f"{count} times {status}" for status, count in self.said.items()) or "nothing"
        when = f"{self.closed_s[0]:.1f} to {self.closed_s[-1]:.1f} s" if self.closed_s else "never"
        return f"| {self.name} | {self.opened} | {len(self.closed_s)} | {when} | {said} |"


def slow_kinds() -> list[Kind]:
    return [
        Kind("half a head", b"GET / HTTP/1.1\r\nHost: a\r\nX-A: ", b"x"),
        Kind("silence", b""),
        Kind("half a body", b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n0123456789"),
        Kind("idle after a request", REQUEST, answered=True),
    ]


class Crowd:
    """The connections of all kinds."""

    def __init__(self, port: int, began_s: float) -> None:
        self.port = port
        self.began_s = began_s
        self.selector = selectors.DefaultSelector()
        self.dripping: dict[socket.socket, bytes] = {}

    def open(self, kind: Kind, count: int) -> None:
        while count:
            batch = [self._connect(kind) for _ in range(min(count, AT_ONCE))]
            count -= len(batch)
            for sock in batch:
                if kind.answered:
                    sock.settimeout(10)
                    sock.recv(4096)
                sock.setblocking(False)
                self.selector.register(sock, selectors.EVENT_READ, kind)
                if kind.drip:
                    self.dripping[sock] = kind.drip

    def _connect(self, kind: Kind) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self.port), 10)
        sock.sendall(kind.first)
        kind.opened += 1
        return sock

    def watch(self, until_s: float) -> None:
        """Note who is closed, until nobody is left."""
        dripped_s = time.monotonic()
        while self.selector.get_map() and time.monotonic() < until_s:
            for key, _ in self.selector.select(DRIP_S / 10):
                self._read(key.fileobj, key.data)  # type: ignore[arg-type]
            if time.monotonic() - dripped_s >= DRIP_S:
                dripped_s = time.monotonic()
                self._drip()

    def _drip(self) -> None:
        for sock, piece in list(self.dripping.items()):
            try:
                sock.send(piece)
            except OSError:
                del self.dripping[sock]

    def _read(self, sock: socket.socket, kind: Kind) -> None:
        try:
            data = sock.recv(4096)
        except OSError:
            data = b""
        if data.startswith(b"HTTP/1.1 "):
            status = data[9:12].decode()
            kind.said[status] = kind.said.get(status, 0) + 1
        if not data:
            kind.closed_s.append(time.monotonic() - self.began_s)
            self.selector.unregister(sock)
            self.dripping.pop(sock, None)
            sock.close()


def honest(port: int) -> int:
    """The process of the honest client: asks until its standard input ends, then prints its waits."""
    with suppress(PermissionError):  # it shares a core with the crowd, whose work is not to be what it waits for
        os.setpriority(os.PRIO_PROCESS, 0, -15)
    reader = selectors.DefaultSelector()
    reader.register(sys.stdin, selectors.EVENT_READ)
    waits_ms, failures, sock = [], 0, None
    while not reader.select(HONEST_PAUSE_S):
        began_s = time.monotonic()
        try:
            if sock is None:
                sock = socket.create_connection(("127.0.0.1", port), 10)
            sock.sendall(REQUEST)
            if not sock.recv(4096).startswith(b"HTTP/1.1 200"):
                raise OSError
        except OSError:
            failures, sock = failures + 1, None
        waits_ms.append((time.monotonic() - began_s) * 1000)
    sys.stdout.write(json.dumps({"waits_ms": waits_ms, "failures": failures}))
    return 0


def beside_honest_client(port: int, crowd: Crowd, kinds: Sequence[Kind], connections: int) -> str:
    command = [sys.executable, __file__, "honest", "--port", str(port)]
    client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    for kind in kinds:
        crowd.open(kind, connections)
    crowd.watch(crowd.began_s + LONGEST_S)
    found = json.loads(client.communicate()[0])
    waits_ms = sorted(found["waits_ms"])
    return (
        f"The honest client asked {len(waits_ms)} times: {statistics.median(waits_ms):.1f} ms in the middle, "
        f"{waits_ms[int(len(waits_ms) * 0.99)]:.1f} ms in 99 of 100, {waits_ms[-1]:.1f} ms at most; "
        f"{found['failures']} failed."
    )


@contextmanager
def on_own_core(server: str) -> Iterator[tuple[int, int]]:
    """The server on the first core, and this process, with those that it starts, on the second."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[:1])
    with running([sys.executable, "-m", *COMMANDS[server]]) as started:
        os.sched_setaffinity(0, cores[1:2] or cores)
        yield started


def slow(server: str, connections: int) -> str:
    kinds = slow_kinds()
    with on_own_core(server) as (_, port):
        crowd = Crowd(port, time.monotonic())
        told = beside_honest_client(port, crowd, kinds, connections)
    rows = ["| | opened | closed | when | told |", "|---|---:|---:|---|---|", *(kind.line() for kind in kinds)]
    return f"## {connections} slow connections of each kind, {server}, {describe()}\n\n" + "\n".join([*rows, "", told])


def idle(server: str, connections: int) -> str:
    kind = Kind("idle after a request", REQUEST, answered=True)
    with on_own_core(server) as (pid, port):
        warm_up = Crowd(port, time.monotonic())
        warm_up.open(Kind("warm up", REQUEST, answered=True), AT_ONCE)
        warm_up.watch(time.monotonic() + LONGEST_S)
        before = resident_bytes(pid)
        crowd = Crowd(port, time.monotonic())
        crowd.open(kind, connections)
        held = (resident_bytes(pid) - before) / connections
        told = beside_honest_client(port, crowd, [], 0)
    rows = ["| | opened | closed | when | told |", "|---|---:|---:|---|---|", kind.line()]
    title = f"## {connections} idle connections, {server}, {describe()}"
    return f"{title}\n\n" + "\n".join([*rows, "", f"One takes {held / 1024:.1f} KiB of the server. {told}"])


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["slow", "idle", "honest"])
    parser.add_argument("--connections", type=positive)
    parser.add_argument("--server", choices=list(COMMANDS), default="loophound")
    parser.add_argument("--write", action="store_true", help="keep the figures in docs/benchmarks.md")
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.what == "honest":
        return honest(options.port)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    connections = options.connections or {"slow": 1500, "idle": 10_000}[options.what]
    if limit < connections * 4 + 100 and options.what == "slow":
        give_up(f"{connections} connections of four kinds take more than the {limit} files that may be open")
    section = {"slow": slow, "idle": idle}[options.what](options.server, connections)
    sys.stdout.write(section + "\n")
    if options.write:
        write(section)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What it costs to flag blocking calls: CPU per request of a hello, with the middleware and without.

    python benchmarks/calls.py [--rounds 80] [--write]

One process serves all, on one connection: some hundred requests without, as many with, and so on. Its own thread says
how much CPU time it has used (CLOCK_THREAD_CPUTIME_ID), so that the figures hold on a busy machine too. The patches are
in all the time; `loophound serve --detect-blocking=calls` needs no middleware: there, only the server's marks cost.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import sys

from load import HERE, positive, quartiles, running
from machine import RESULTS, describe, write

REQUESTS = 300  # in a turn
TARGET_RATIO = 1.05
SERVERS = {
    "loophound serve": [
        "-m", "loophound", "serve", "calls_app:app", "--app-dir", str(HERE), "--port", "PORT", "--no-access-log",
        "--hang-watch", "off", "--log-level", "warning",
    ],
    "uvicorn": [
        "-m", "uvicorn", "calls_app:app", "--app-dir", str(HERE), "--port", "PORT", "--no-access-log", "--log-level",
        "warning",
    ],
}  # fmt: skip
HEADING = "| server | hello | CPU per request without | with | ratio |\n|---|---|---:|---:|---:|\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=positive, default=80, help="turns of each (80)")
    parser.add_argument("--write", action="store_true", help=f"put the table into {RESULTS.name}")
    options = parser.parse_args()
    report = (
        f"## Cost of flagging calls, {describe()}\n"
        f"Median of {options.rounds} turns of {REQUESTS} requests each, the quartiles in brackets.\n"
        f"Target: a ratio of at most {TARGET_RATIO}.\n\n{HEADING}"
    )
    for server, arguments in SERVERS.items():
        with running([sys.executable, *arguments]) as (_, port), Client(port) as client:
            for hello in ("bare", "fastapi"):
                report += f"| {server} | {hello} {row(client, hello, options.rounds)}"
    sys.stdout.write(f"\n{report}\n")
    if options.write:
        write(report)


class Client:
    """One connection that asks, and waits for the answer."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, path: str, times: int) -> bytes:
        request = f"GET {path} HTTP/1.1\r\nHost: benchmark\r\n\r\n".encode()
        body = b""
        for _ in range(times):
            self._socket.sendall(request)
            head = b""
            while b"\r\n\r\n" not in head:
                head += self._socket.recv(65536)
            head, _, body = head.partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            while len(body) < length:
                body += self._socket.recv(65536)
        return body

    def cpu_us(self) -> float:
        return float(self.ask("/cpu", 1)) * 1e6


def row(client: Client, hello: str, rounds: int) -> str:
    turns = []
    for number in range(rounds + 2):
        began_us = client.cpu_us()
        client.ask(f"/{hello}/plain", REQUESTS)
        middle_us = client.cpu_us()
        client.ask(f"/{hello}/flagged", REQUESTS)
        if number >= 2:  # the first ones warm up
            turns.append(((middle_us - began_us) / REQUESTS, (client.cpu_us() - middle_us) / REQUESTS))
    low, middle, high = quartiles([flagged / plain for plain, flagged in turns])
    without, flagging = (statistics.median(turn[index] for turn in turns) for index in (0, 1))
    verdict = "met" if middle <= TARGET_RATIO else "missed"
    return f"| {without:.1f} µs | {flagging:.1f} µs | {middle:.3f} ({low:.3f} to {high:.3f}): {verdict} |\n"


if __name__ == "__main__":
    main()

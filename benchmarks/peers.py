"""The server beside its peers: CPU per request and requests per second, as ratios to uvicorn.

    python benchmarks/peers.py [--rounds 5] [--slices 6] [--cases plain,json] [--servers loophound,uvicorn] [--write]

In each round every server is a new process, pinned to one core, and wrk loads one after the
other for a fifth of a second, again and again, from another core; those that wait are stopped
(SIGSTOP). A ratio is taken within a round; the median over the rounds is shown, and the lowest
and the highest. The CPU time is that of the server and its children, from /proc/PID/stat.
"""

from __future__ import annotations

import argparse
import compileall
import importlib.util
import socket
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from load import HERE, SLICE_S, Run, Server, family, give_up, positive, running, two_cores
from machine import RESULTS, describe, write

BASE = "uvicorn"
WARM_UP_S = 0.5
IDLE_CONNECTIONS = 1000
LOADED_S = 1.5  # by then a server has loaded what it loads when it serves already
IDLE_S = 4.0  # ours lets go of the last request of a connection idle for two seconds, at its next sweep


@dataclass(frozen=True, slots=True)
class Case:
    """What is asked of each server, and the most CPU per request, against uvicorn's, that is aimed at."""

    title: str
    app: str = "cases:asgi"
    path: str = "/"
    wrk: tuple[str, ...] = ("-c32",)
    client: tuple[str, ...] = ()  # in place of wrk
    access_log: bool = False
    goal: float | None = None


ECHO = (sys.executable, "echo.py")

CASES = {
    "plain": Case("plain text", goal=0.64),
    "browser": Case("13 browser headers", wrk=("-c32", "-swrk/browser.lua"), goal=0.62),
    "json": Case("1 KiB JSON", path="/json", goal=0.68),
    "large": Case("64 KiB body", path="/large", goal=0.78),
    "post": Case("16 KiB POST echo", path="/echo", wrk=("-c32", "-swrk/post.lua"), goal=0.68),
    "stream": Case("stream of 100 chunks", path="/stream", goal=0.70),
    "pipelining": Case("pipelining 16", wrk=("-c32", "-swrk/pipeline.lua"), goal=0.62),
    "close": Case("a new connection per request", wrk=("-c32", "-swrk/close.lua"), goal=0.48),
    "many": Case("512 connections", wrk=("-c512",), goal=0.55),
    "defaults": Case("plain text, default options", access_log=True, goal=0.36),
    "websocket": Case("WebSocket echo of 64 bytes", path="/ws", wrk=("--bytes=64",), client=ECHO, goal=0.58),
    "websocket-4k": Case("WebSocket echo of 4 KiB", path="/ws", wrk=("--bytes=4096",), client=ECHO, goal=0.62),
    "starlette": Case("Starlette", app="cases:starlette", goal=0.75),
    "fastapi": Case("FastAPI", app="cases:fastapi", goal=0.83),
}

QUIET = {
    "loophound": ("--no-access-log", "--log-level", "warning"),
    "uvicorn": ("--no-access-log", "--log-level", "warning"),
    "granian": ("--no-access-log", "--log-level", "warning"),
}
LOGGING = {"hypercorn": ("--access-logfile", "-"), "granian": ("--access-log",), "gunicorn": ("--access-logfile", "-")}
COMMANDS = {
    # Stopped while four others are loaded, it would be examined for the hang each time.
    "loophound": ("loophound", "serve", "APP", "--app-dir", str(HERE), "--port", "PORT", "--hang-watch", "30"),
    "uvicorn": ("uvicorn", "APP", "--port", "PORT", "--loop", "uvloop", "--http", "httptools"),
    "hypercorn": ("hypercorn", "APP", "-b", "127.0.0.1:PORT", "-k", "uvloop"),
    "granian": ("granian", "APP", "--interface", "asgi", "--port", "PORT", "--loop", "uvloop"),
    "gunicorn": ("gunicorn", "APP", "-k", "asgi", "-w", "1", "-b", "127.0.0.1:PORT"),
}


@dataclass(slots=True)
class Entry:
    """One server in one round."""

    name: str
    server: Server
    run: Run

    def load(self, case: Case, run: Run, seconds: float) -> None:
        url = f"http://127.0.0.1:{self.server.port}{case.path}"
        self.server.load(run, seconds, [*case.wrk, url], case.client)


def main() -> None:
    options = parse_options()
    cores = two_cores()
    servers = chosen(options.servers, COMMANDS)
    for name in servers:
        compile_package(name)
    report = (
        f"## Beside its peers on Python {sys.version_info.major}.{sys.version_info.minor}, {describe()}\n"
        f"Each server has one core, wrk another; ratios to {BASE} within a round, median of {options.rounds} rounds "
        f"of {options.slices} slices of {SLICE_S} s, lowest and highest in brackets. CPU per request: less is better.\n"
    )
    report += f"\n{heading(servers)}\n"
    for name in chosen(options.cases, CASES):
        rounds = [play(CASES[name], servers, options.slices, cores) for _ in range(options.rounds)]
        line = row(CASES[name], servers, rounds)
        sys.stderr.write(f"{line}\n")
        report += f"{line}\n"
    report += f"\n{at_rest(servers, cores, options.rounds)}"
    sys.stdout.write(f"\n{report}\n")
    if options.write:
        write(report)


def compile_package(name: str) -> None:
    """As pip does: an editable install, or an environment that writes no byte code, would start more slowly."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        give_up(f"{name} is not installed: pip install -e '.[bench]'")
    for directory in spec.submodule_search_locations:
        compileall.compile_dir(directory, quiet=2)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the server beside its peers.")
    parser.add_argument("--rounds", type=positive, default=5, help="rounds of each case (5)")
    parser.add_argument("--slices", type=positive, default=6, help="slices of load of each server in a round (6)")
    parser.add_argument("--cases", default=",".join(CASES), help=f"some of {','.join(CASES)}")
    parser.add_argument("--servers", default=",".join(COMMANDS), help=f"some of {','.join(COMMANDS)}")
    parser.add_argument("--write", action="store_true", help=f"put the table into {RESULTS.name}")
    return parser.parse_args()


def chosen(text: str, known: dict[str, object] | dict[str, Case] | dict[str, tuple[str, ...]]) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in known]
    if unknown:
        give_up(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
    return names


def command(name: str, case: Case) -> list[str]:
    options = LOGGING.get(name, ()) if case.access_log else QUIET.get(name, ())
    return [sys.executable, "-m", *(case.app if part == "APP" else part for part in COMMANDS[name]), *options]


def play(case: Case, servers: Sequence[str], slices: int, cores: Sequence[int]) -> dict[str, Run]:
    """One round: each server's share of the load."""
    with ExitStack() as stack:
        entries = []
        for name in servers:
            pid, port = stack.enter_context(running(command(name, case)))
            entries.append(Entry(name, Server(pid, port, cores), Run()))
            stack.callback(entries[-1].server.go_on)  # a stopped process does not see the signal that ends it
        for entry in entries:
            entry.load(case, Run(), WARM_UP_S)
            entry.server.stop()
        for _ in range(slices):
            for entry in entries:
                entry.server.go_on()
                entry.load(case, entry.run, SLICE_S)
                entry.server.stop()
            entries.reverse()
    return {entry.name: entry.run for entry in entries}


def heading(servers: Sequence[str]) -> str:
    cells = ["case", "goal", *(f"{name}: CPU" for name in servers), *(f"{name}: requests/s" for name in servers)]
    return f"| {' | '.join(cells)} |\n|{'---|' * len(cells)}"


def row(case: Case, servers: Sequence[str], rounds: Sequence[dict[str, Run]]) -> str:
    cells = [case.title, f"{case.goal:.2f}" if case.goal is not None else ""]
    for name in servers:
        cells.append(spread([played[name].server_us / played[BASE].server_us for played in rounds]))
        if name == BASE:
            cells[-1] = f"{statistics.median(played[name].server_us for played in rounds):.1f} µs"
    for name in servers:
        cells.append(spread([played[name].requests_per_s / played[BASE].requests_per_s for played in rounds]))
        if name == BASE:
            cells[-1] = f"{statistics.median(played[name].requests_per_s for played in rounds):,.0f}"
    return f"| {' | '.join(cells)} |"


def spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def at_rest(servers: Sequence[str], cores: Sequence[int], rounds: int) -> str:
    """Start-up time and memory per idle connection, absolute: medians."""
    lines = ["| server | start-up | memory per idle connection |", "|---|---|---|"]
    for name in servers:
        startups, memories = [], []
        for _ in range(rounds):
            began_s = time.monotonic()
            with running(command(name, CASES["plain"])) as (pid, port):
                startups.append(time.monotonic() - began_s)
                memories.append(memory_per_connection(Server(pid, port, cores)))
        lines.append(
            f"| {name} | {statistics.median(startups) * 1000:.0f} ms | {statistics.median(memories):.1f} KiB |"
        )
    return "\n".join(lines) + "\n"


def memory_per_connection(server: Server) -> float:
    """KiB, of connections that have had an answer and are kept alive."""
    request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    warm = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(100)]
    for connection in warm:
        connection.sendall(request)
        connection.recv(4096)
    time.sleep(LOADED_S)
    before = resident_kib(server.pid)
    idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(IDLE_CONNECTIONS)]
    for connection in idle:
        connection.sendall(request)
        connection.recv(4096)
    time.sleep(IDLE_S)
    after = resident_kib(server.pid)
    for connection in (*warm, *idle):
        connection.close()
    return (after - before) / IDLE_CONNECTIONS


def resident_kib(pid: int) -> int:
    """VmRSS of a process and its descendants: proc_pid_status(5)."""
    total = 0
    for member in family(pid):
        with open(f"/proc/{member}/status", encoding="ascii", errors="replace") as status:
            total += next((int(line.split()[1]) for line in status if line.startswith("VmRSS")), 0)
    return total


if __name__ == "__main__":
    main()

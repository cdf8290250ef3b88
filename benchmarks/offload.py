"""What a heavy route does to a light one: the latency of /ping while 8 clients ask for 0.2 s of Python.

    python benchmarks/offload.py [--seconds 10] [--write]

One server (`loophound serve`), no core is pinned. One wrk asks for /cpu in 8 connections, another for /ping at full
speed in 4, for each way in which /cpu can run, and once without any /cpu.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from dataclasses import dataclass

from load import give_up, positive, running, two_cores
from machine import describe, write

CPU_CLIENTS = 8
PING_CLIENTS = 4
REST_S = 4.0  # what wrk hung up on still computes, 8 times 0.2 s and more
WAYS = {
    "no /cpu at all": None,
    "unmarked": "/cpu/unmarked",
    "`thread`": "/cpu/thread",
    "a rule (side loop)": "/cpu/side",
    "`process`": "/cpu/process",
}
UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}
HEADING = (
    "| /cpu runs | /ping p50, ms | /ping p99, ms | /ping requests/s | /cpu requests/s |\n|---|---:|---:|---:|---:|\n"
)


@dataclass(frozen=True, slots=True)
class Load:
    """What one wrk reports."""

    per_s: float
    p50_ms: float
    p99_ms: float


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=positive, default=10, help="how long each row takes")
    parser.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    options = parser.parse_args()
    two_cores()
    report = (
        f"## A heavy route beside a light one, {describe()}\n"
        f"{CPU_CLIENTS} clients ask for 0.2 s of pure Python, {PING_CLIENTS} for /ping at full speed, "
        f"for {options.seconds} s; all on these cores.\n\n{HEADING}"
    )
    with running([sys.executable, "-m", "loophound", "serve", "offload_app:app", "--port", "PORT"]) as (_, port):
        for name, path in WAYS.items():
            report += row(name, path, f"http://127.0.0.1:{port}", options.seconds)
    sys.stdout.write(f"\n{report}\n")
    if options.write:
        write(report)


def row(name: str, path: str | None, server: str, seconds: int) -> str:
    if path is None:
        ping = finish(start(server + "/ping", PING_CLIENTS, seconds))
        return f"| {name} | {ping.p50_ms:.2f} | {ping.p99_ms:.2f} | {ping.per_s:,.0f} | |\n"
    finish(start(server + path, CPU_CLIENTS, 2))  # workers start
    heavy = start(server + path, CPU_CLIENTS, seconds + 1)
    ping = finish(start(server + "/ping", PING_CLIENTS, seconds))
    cpu = finish(heavy)
    time.sleep(REST_S)
    latency = f"{ping.p50_ms:.2f} | {ping.p99_ms:.2f}" if ping.per_s else "none answered | none answered"
    return f"| {name} | {latency} | {ping.per_s:,.0f} | {cpu.per_s:.1f} |\n"


def start(url: str, clients: int, seconds: int) -> subprocess.Popen[str]:
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "30s", "--latency", url]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finish(wrk: subprocess.Popen[str]) -> Load:
    output = wrk.communicate()[0]
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    half, most = (re.search(rf"\b{share}%\s+([\d.]+)(us|ms|s)\b", output) for share in (50, 99))
    if rate is None or half is None or most is None or "Non-2xx" in output:
        give_up(f"wrk met errors:\n{output}")
    return Load(float(rate[1]), *(float(found[1]) * UNITS_MS[found[2]] for found in (half, most)))


if __name__ == "__main__":
    main()

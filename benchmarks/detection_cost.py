"""What detection costs: requests per second and CPU per request, with and without --detect-blocking.

    python benchmarks/detection_cost.py [--pairs 10] [--seconds 3] [--write]

Server and observer share one core, wrk has another. Runs alternate between with and without,
each with a process of its own, so that a machine that slows down slows both; a ratio is taken
within a pair, and the median and the quartiles over the pairs are shown. CPU time is from
/proc/PID/stat (proc(5)), of the server with its watchdog thread and of its observer apart.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

HERE = Path(__file__).parent
RESULTS = HERE.parent / "docs" / "benchmarks.md"
APPS = {"bare ASGI": "hello:bare", "FastAPI": "hello:fastapi"}
CONNECTIONS = 32
WARM_UP_S = 1
STARTUP_S = 15.0
TARGET_RATIO = 0.97
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Run:
    """One load of one server."""

    requests_per_s: float
    server_us: float  # CPU per request
    observer_us: float


@dataclass(frozen=True, slots=True)
class Pair:
    without: Run
    detecting: Run

    @property
    def ratio(self) -> float:
        return self.detecting.requests_per_s / self.without.requests_per_s

    @property
    def cpu_ratio(self) -> float:
        return (self.detecting.server_us + self.detecting.observer_us) / self.without.server_us


def main() -> None:
    options = parse_options()
    for tool in ("wrk", "taskset"):
        if shutil.which(tool) is None:
            give_up(f"{tool} is not installed (Debian, Ubuntu: apt install wrk util-linux)")
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        give_up("this takes two cores: one for the server, one for wrk")
    if os.getloadavg()[0] > 0.5:
        sys.stderr.write("The machine is busy: believe the CPU per request, not the requests per second.\n")
    report = describe(options.pairs, options.seconds) + "\n\n" + HEADING
    for name, app in APPS.items():
        report += "\n" + row(name, measure(app, options.pairs, options.seconds, cores))
    sys.stdout.write(f"\n{report}\n")
    if options.write:
        title = "" if RESULTS.exists() else "# Benchmarks\n"
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(f"{title}\n{report}\n")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure what --detect-blocking costs.")
    parser.add_argument("--pairs", type=positive, default=10, help="pairs of runs for each application (10)")
    parser.add_argument("--seconds", type=positive, default=3, help="length of each run in seconds (3)")
    parser.add_argument("--write", action="store_true", help=f"append the table to {RESULTS.name}")
    return parser.parse_args()


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def give_up(message: str) -> NoReturn:
    raise SystemExit(f"detection_cost: {message}")


def measure(app: str, pairs: int, seconds: int, cores: list[int]) -> list[Pair]:
    measured: list[Pair] = []
    for number in range(pairs):
        # Every other pair runs in the other order, so that a trend of the machine favours neither.
        order = (False, True) if number % 2 == 0 else (True, False)
        runs = {detecting: run(app, detecting, seconds, cores) for detecting in order}
        measured.append(Pair(runs[False], runs[True]))
        sys.stderr.write(f"{app} {number + 1}/{pairs}: ratio {measured[-1].ratio:.3f}\n")
    return measured


def run(app: str, detecting: bool, seconds: int, cores: list[int]) -> Run:
    with serving(app, detecting, cores[0]) as (pid, url):
        load(url, WARM_UP_S, cores[1])
        observers = observers_of(pid)
        if detecting and not observers:
            give_up("the server runs without its observer: see `loophound doctor`")
        before = cpu_s(pid), sum(map(cpu_s, observers))
        requests, requests_per_s = load(url, seconds, cores[1])
        after = cpu_s(pid), sum(map(cpu_s, observers))
    server_us, observer_us = ((end - begin) / requests * 1e6 for begin, end in zip(before, after, strict=True))
    return Run(requests_per_s, server_us, observer_us)


@contextmanager
def serving(app: str, detecting: bool, core: int) -> Iterator[tuple[int, str]]:
    """Serve `app` on one core; gives the process and its URL. taskset(1) becomes the server by exec."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = ["taskset", "-c", str(core), sys.executable, "-m", "loophound", "serve", app]
    command += ["--app-dir", str(HERE), "--port", str(port), "--log-level", "warning"]
    command += ["--detect-blocking"] if detecting else []
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LOOPHOUND_")}
    # As users start it, access log included, which goes to nobody.
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        wait_until_accepting(server, port)
        yield server.pid, f"http://127.0.0.1:{port}/"
        server.send_signal(signal.SIGTERM)
        server.wait(10)
    finally:
        server.kill()
        server.wait()


def wait_until_accepting(server: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + STARTUP_S
    while time.monotonic() < deadline and server.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    give_up("the server did not start")


def load(url: str, seconds: int, core: int) -> tuple[int, float]:
    """Requests, and requests per second, of one run of wrk(1)."""
    command = ["taskset", "-c", str(core), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", url]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    requests = re.search(r"(\d+) requests in ", output)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    if requests is None or rate is None or "Non-2xx" in output or "Socket errors" in output:
        give_up(f"wrk met errors:\n{output}")
    return int(requests[1]), float(rate[1])


def cpu_s(pid: int) -> float:
    """Seconds of user and system time that the threads of a process used: fields 14 and 15 of proc_pid_stat(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def observers_of(pid: int) -> list[int]:
    """The observers of a process; it starts them detached, so they are not its children."""
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and watched_by(entry) == pid]


def watched_by(process: Path) -> int | None:
    """The process that an observer watches, from its settings; None for any other program."""
    try:
        arguments = (process / "cmdline").read_text(encoding="utf-8", errors="replace").rstrip("\0").split("\0")
    except OSError:  # it has ended, or is another user's
        return None
    if arguments[-3:-1] != ["-m", "loophound.observer"]:
        return None
    return int(json.loads(arguments[-1])["pid"])


def describe(pairs: int, seconds: int) -> str:
    cpu = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return (
        f"## Cost of detection, {datetime.now(UTC):%Y-%m-%d}\n\n"
        f"{cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}; load average {os.getloadavg()[0]:.1f} at the start.\n"
        f"Default options. wrk with {CONNECTIONS} connections on one core, server and observer on another; "
        f"median of {pairs} alternating pairs of {seconds} s, the quartiles in brackets.\n"
        f"Target: a ratio of at least {TARGET_RATIO}."
    )


HEADING = (
    "| application | requests/s without | with | ratio | CPU per request without "
    "| with | of it the observer | CPU ratio |\n|---|---|---|---|---|---|---|---|"
)


def row(name: str, pairs: list[Pair]) -> str:
    ratios = [pair.ratio for pair in pairs]
    low, middle, high = quartiles(ratios)
    without = [pair.without for pair in pairs]
    detecting = [pair.detecting for pair in pairs]
    cells = (
        name,
        f"{statistics.median(run.requests_per_s for run in without):,.0f}",
        f"{statistics.median(run.requests_per_s for run in detecting):,.0f}",
        f"{middle:.3f} ({low:.3f} to {high:.3f}): {'met' if middle >= TARGET_RATIO else 'missed'}",
        f"{statistics.median(run.server_us for run in without):.1f} µs",
        f"{statistics.median(run.server_us + run.observer_us for run in detecting):.1f} µs",
        f"{statistics.median(run.observer_us for run in detecting):.2f} µs",
        f"{statistics.median(pair.cpu_ratio for pair in pairs):.3f}",
    )
    return f"| {' | '.join(cells)} |"


def quartiles(values: list[float]) -> tuple[float, float, float]:
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, method="inclusive")
    return low, middle, high


if __name__ == "__main__":
    main()

"""What detection costs: requests per second and CPU per request, with and without --detect-blocking.

    python benchmarks/detection_cost.py [--pairs 10] [--slices 12] [--write]

Two servers run, with and without; wrk loads one of them for a fifth of a second, then the other,
and so on: shared machines change their speed by half within a second, and so both see the same.
A pair is two new processes and so many slices of each. Its ratio is that of their requests per second; the median and
the quartiles over the pairs are shown. The loaded server and its observer share one core, wrk has
another, and so has the server that waits. CPU time is from /proc/PID/stat (proc(5)), of the server
with its watchdog thread and of its observer apart.
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
WARM_UP_S = 1.0
SLICE_S = 0.2
LONGEST_LOAD = "60s"
STARTUP_S = 15.0
TARGET_RATIO = 0.97
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Run:
    """The slices of load of one server in a pair, added up."""

    requests: int = 0
    seconds: float = 0.0
    server_s: float = 0.0  # CPU time
    observer_s: float = 0.0

    @property
    def requests_per_s(self) -> float:
        return self.requests / self.seconds

    @property
    def server_us(self) -> float:
        return self.server_s / self.requests * 1e6

    @property
    def observer_us(self) -> float:
        return self.observer_s / self.requests * 1e6


@dataclass(frozen=True, slots=True)
class Pair:
    """The two servers under the same load, in turns."""

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
    report = describe(options.pairs, options.slices) + "\n\n" + HEADING
    for name, app in APPS.items():
        report += "\n" + row(name, measure(app, options.pairs, options.slices, cores))
    sys.stdout.write(f"\n{report}\n")
    if options.write:
        title = "" if RESULTS.exists() else "# Benchmarks\n"
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(f"{title}\n{report}\n")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure what --detect-blocking costs.")
    parser.add_argument("--pairs", type=positive, default=10, help="pairs of runs for each application (10)")
    parser.add_argument("--slices", type=positive, default=12, help="slices of load of each server in a pair (12)")
    parser.add_argument("--write", action="store_true", help=f"append the table to {RESULTS.name}")
    return parser.parse_args()


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def give_up(message: str) -> NoReturn:
    raise SystemExit(f"detection_cost: {message}")


def measure(app: str, pairs: int, slices: int, cores: list[int]) -> list[Pair]:
    measured: list[Pair] = []
    for number in range(pairs):
        # New processes for each pair: where the code of one happens to lie in memory is worth some per cent.
        with serving(app, False, cores) as without, serving(app, True, cores) as detecting:
            measured.append(compare(without, detecting, slices))
        sys.stderr.write(f"{app} {number + 1}/{pairs}: ratio {measured[-1].ratio:.3f}\n")
    return measured


def compare(without: Server, detecting: Server, slices: int) -> Pair:
    pair = Pair(Run(), Run())
    turns = [(without, pair.without), (detecting, pair.detecting)]
    for server, _ in turns:
        server.load(Run(), WARM_UP_S)
    for _ in range(slices):
        for server, run in turns:
            server.load(run, SLICE_S)
        # The other way round next time, so that a trend of the machine favours neither.
        turns.reverse()
    return pair


class Server:
    """A server under test; it has the first core while it is loaded, and leaves it meanwhile."""

    def __init__(self, pid: int, url: str, cores: list[int], observers: list[int]) -> None:
        self.pid = pid
        self.url = url
        self.observers = observers
        self._cores = cores
        self._move_to(cores[1])

    def load(self, run: Run, seconds: float) -> None:
        """Load it for so long, and add what came of it to `run`."""
        self._move_to(self._cores[0])
        server_s, observer_s = cpu_s(self.pid), sum(map(cpu_s, self.observers))
        load = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{LONGEST_LOAD}", self.url]
        wrk = subprocess.Popen(["taskset", "-c", str(self._cores[1]), *load], stdout=subprocess.PIPE, text=True)
        time.sleep(seconds)
        wrk.send_signal(signal.SIGINT)  # it takes whole seconds alone, but reports when it is interrupted
        output = wrk.communicate()[0]
        run.server_s += cpu_s(self.pid) - server_s
        run.observer_s += sum(map(cpu_s, self.observers)) - observer_s
        self._move_to(self._cores[1])
        requests = re.search(r"(\d+) requests in ", output)
        rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
        if requests is None or rate is None or "Non-2xx" in output or "Socket errors" in output:
            give_up(f"wrk met errors:\n{output}")
        run.requests += int(requests[1])
        run.seconds += int(requests[1]) / float(rate[1])

    def _move_to(self, core: int) -> None:
        for pid in (self.pid, *self.observers):
            for thread in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(thread.name), {core})


@contextmanager
def serving(app: str, detecting: bool, cores: list[int]) -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "loophound", "serve", app]
    command += ["--app-dir", str(HERE), "--port", str(port), "--log-level", "warning"]
    command += ["--detect-blocking"] if detecting else []
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LOOPHOUND_")}
    # As users start it, access log included, which goes to nobody.
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        wait_until_accepting(process, port)
        observers = observers_of(process.pid)
        if detecting and not observers:
            give_up("the server runs without its observer: see `loophound doctor`")
        yield Server(process.pid, f"http://127.0.0.1:{port}/", cores, observers)
        process.send_signal(signal.SIGTERM)
        process.wait(10)
    finally:
        process.kill()
        process.wait()


def wait_until_accepting(server: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + STARTUP_S
    while time.monotonic() < deadline and server.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    give_up("the server did not start")


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


def describe(pairs: int, slices: int) -> str:
    cpu = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return (
        f"## Cost of detection, {datetime.now(UTC):%Y-%m-%d}\n\n"
        f"{cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}; load average {os.getloadavg()[0]:.1f} at the start.\n"
        f"Default options. wrk with {CONNECTIONS} connections on one core, server and observer on another; "
        f"median of {pairs} pairs of {slices} alternating slices of {SLICE_S} s, the quartiles in brackets.\n"
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

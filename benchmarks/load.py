"""Servers under test, pinned to one core, and wrk(1), on another, which loads them in slices."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import NoReturn

HERE = Path(__file__).parent
STARTUP_S = 15.0
STOPPING_S = 10.0
SLICE_S = 0.2
LONGEST_LOAD = "60s"


@dataclass(slots=True)
class Run:
    """The slices of load of one server, added up."""

    requests: int = 0
    seconds: float = 0.0
    server_s: float = 0.0  # CPU time
    threads_s: float = 0.0  # of it that of other threads than the main one
    observer_s: float = 0.0

    @classmethod
    def sum(cls, runs: Iterable[Run]) -> Run:
        return cls(*map(sum, zip(*map(astuple, runs), strict=True)))

    @property
    def requests_per_s(self) -> float:
        return self.requests / self.seconds

    @property
    def server_us(self) -> float:
        """CPU time a request."""
        return self.server_s / self.requests * 1e6

    @property
    def observer_us(self) -> float:
        return self.observer_s / self.requests * 1e6


class Server:
    """A server and its children. It has the first core while it is loaded, and leaves it meanwhile."""

    def __init__(self, pid: int, port: int, cores: Sequence[int], observers: Sequence[int] = ()) -> None:
        self.pid = pid
        self.port = port
        self.observers = observers
        self._cores = cores
        self._move_to(cores[1])

    def load(self, run: Run, seconds: float, wrk: Sequence[str], client: Sequence[str] = ()) -> None:
        """Load it with these arguments of wrk for so long, and add what came of it to `run`.

        Another `client` is told the seconds and reports as wrk does.
        """
        self._move_to(self._cores[0])
        server_s, threads_s, observer_s = self.cpu_s(), self.threads_s(), sum(map(cpu_s, self.observers))
        command = [*client, f"--seconds={seconds}"] if client else ["wrk", "-t1", f"-d{LONGEST_LOAD}"]
        pinned = ["taskset", "-c", str(self._cores[1]), *command, *wrk]
        loading = subprocess.Popen(pinned, stdout=subprocess.PIPE, text=True, cwd=HERE)
        if not client:
            time.sleep(seconds)
            loading.send_signal(signal.SIGINT)  # it takes whole seconds alone, but reports when it is interrupted
        output = loading.communicate()[0]
        run.server_s += self.cpu_s() - server_s
        run.threads_s += self.threads_s() - threads_s
        run.observer_s += sum(map(cpu_s, self.observers)) - observer_s
        self._move_to(self._cores[1])
        requests = re.search(r"(\d+) requests in ", output)
        rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
        if requests is None or rate is None or not int(requests[1]) or "Non-2xx" in output or "Socket errors" in output:
            give_up(f"the load met errors:\n{output}")
        run.requests += int(requests[1])
        run.seconds += int(requests[1]) / float(rate[1])

    def cpu_s(self) -> float:
        return sum(map(cpu_s, family(self.pid)))

    def threads_s(self) -> float:
        """CPU time of the threads beside the main one."""
        return cpu_s(self.pid) - cpu_s(self.pid, f"{self.pid}")

    def stop(self) -> None:
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for pid in family(self.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _move_to(self, core: int) -> None:
        for pid in (*family(self.pid), *self.observers):
            with suppress(FileNotFoundError):
                for thread in Path(f"/proc/{pid}/task").iterdir():
                    with suppress(ProcessLookupError):
                        os.sched_setaffinity(int(thread.name), {core})


@contextmanager
def running(command: Sequence[str]) -> Iterator[tuple[int, int]]:
    """A server that listens on the port that replaces "PORT" in its command; gives pid and port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LOOPHOUND_")}
    process = subprocess.Popen(
        [part.replace("PORT", str(port)) for part in command],
        cwd=HERE,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=None if "loophound" in command else subprocess.DEVNULL,
    )
    try:
        wait_until_accepting(process, port)
        yield process.pid, port
        process.send_signal(signal.SIGTERM)
        process.wait(STOPPING_S)
    except subprocess.TimeoutExpired:
        pass
    finally:
        for pid in family(process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def wait_until_accepting(server: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + STARTUP_S
    while time.monotonic() < deadline and server.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    give_up(f"the server did not start: {server.args!r}")


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    members = [pid]
    for member in members:
        for thread in Path(f"/proc/{member}/task").glob("*/children"):
            with suppress(OSError):
                members += map(int, thread.read_text().split())
    return members


def cpu_s(pid: int, thread: str = "*") -> float:
    """Seconds that the threads of a process, or one of them, spent on a CPU: the first field of schedstat (proc(5))."""
    total_ns = 0
    for file in Path(f"/proc/{pid}/task").glob(f"{thread}/schedstat"):
        with suppress(OSError):  # it has ended
            total_ns += int(file.read_text().split()[0])
    return total_ns / 1e9


def two_cores() -> list[int]:
    for tool in ("wrk", "taskset"):
        if shutil.which(tool) is None:
            give_up(f"{tool} is not installed (Debian, Ubuntu: apt install wrk util-linux)")
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        give_up("this takes two cores: one for the server, one for wrk")
    if os.getloadavg()[0] > 0.5:
        sys.stderr.write("The machine is busy: believe the CPU per request, not the requests per second.\n")
    return cores


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, method="inclusive")
    return low, middle, high


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def give_up(message: str) -> NoReturn:
    raise SystemExit(f"{Path(sys.argv[0]).stem}: {message}")

"""`loophound serve` in a process of its own, as users run it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
STARTUP_S = 60.0  # a bound for a crowded machine
STOP_S = 30.0
_RUNNING = re.compile(r"Loophound running on http://127\.0\.0\.1:(\d+)")


def needed(module: str) -> Any:
    """A framework; where CI asks for everything, a missing one is a failure."""
    return import_module(module) if os.environ.get("CI") else pytest.importorskip(module)


class Served:
    """A running server."""

    def __init__(self, process: subprocess.Popen[str], port: int, log: list[str]) -> None:
        self.process = process
        self.port = port
        self.log = log
        self.url = f"http://127.0.0.1:{port}"
        self.ws = f"ws://127.0.0.1:{port}"

    def most_memory_mib(self) -> float:
        """The most that the process has had in memory so far."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024  # type: ignore[index]

    def logged(self, text: str) -> bool:
        return any(text in line for line in self.log)

    def stop(self) -> int:
        """The exit code after SIGTERM."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_S)


@contextmanager
def serving(app: str, *options: str) -> Iterator[Served]:
    """Serve `app` until the block ends."""
    command = [sys.executable, "-m", "loophound", "serve", app, "--port", "0", "--no-access-log", *options]
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environ)
    log: list[str] = []
    reader = threading.Thread(target=lambda: log.extend(iter(process.stderr.readline, "")), daemon=True)  # type: ignore[union-attr]
    reader.start()
    try:
        yield Served(process, _port(process, log), log)
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join(STOP_S)
        process.stderr.close()  # type: ignore[union-attr]


def _port(process: subprocess.Popen[str], log: list[str]) -> int:
    deadline_s = time.monotonic() + STARTUP_S
    while time.monotonic() < deadline_s:
        for line in list(log):
            if found := _RUNNING.search(line):
                return int(found[1])
        assert process.poll() is None, "".join(log)
        time.sleep(0.01)
    raise AssertionError("the server did not start:\n" + "".join(log))

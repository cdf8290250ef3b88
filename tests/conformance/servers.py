"""Starts a server with the cases' application, by its name."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[2]
APP = "tests.conformance.app:app"
STARTUP_S = 20.0
# Their own defaults but for the address, and logs that nobody reads.
COMMANDS: dict[str, list[str]] = {
    "loophound": ["loophound", "serve", APP, "--port", "{port}", "--log-level", "critical", "--no-access-log"],
    "uvicorn": ["uvicorn", APP, "--port", "{port}", "--log-level", "critical", "--no-access-log"],
    "uvicorn-h11": ["uvicorn", APP, "--port", "{port}", "--log-level", "critical", "--no-access-log", "--http", "h11"],
    "hypercorn": ["hypercorn", APP, "--bind", "127.0.0.1:{port}", "--log-level", "critical"],
    "granian": ["granian", APP, "--interface", "asgi", "--port", "{port}", "--no-log"],
    "gunicorn": ["gunicorn", APP, "--bind", "127.0.0.1:{port}", "--worker-class", "asgi", "--log-level", "critical"],
}  # fmt: skip


def version(name: str) -> str:
    """Name and version. Raises PackageNotFoundError where it is not installed."""
    package, _, variant = name.partition("-")
    parts = [package, metadata.version(package)]
    if variant:
        parts.append(f"({variant})")
    return " ".join(parts)


@contextmanager
def serving(name: str) -> Iterator[tuple[str, int]]:
    """The address of a server that runs meanwhile. Raises SystemExit when it does not start."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = int(sock.getsockname()[1])
    module, *options = (part.format(port=port) for part in COMMANDS[name])
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *options],
            cwd=ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )
        try:
            _wait_for(("127.0.0.1", port), process, name)
            yield "127.0.0.1", port
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for(address: tuple[str, int], process: subprocess.Popen[bytes], name: str) -> None:
    deadline_s = time.monotonic() + STARTUP_S
    while time.monotonic() < deadline_s and process.poll() is None:
        try:
            socket.create_connection(address, 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"{name} did not start")

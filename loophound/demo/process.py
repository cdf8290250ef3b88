"""The server of the demo: the real command, as a child process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from loophound.errors import LoophoundError

HOST = "127.0.0.1"
STARTUP_S = 20.0
SHUTDOWN_S = 10.0
POLL_S = 0.05


@contextmanager
def serving(record: Path, port: int) -> Iterator[None]:
    """Run the demo application under the detector until the block ends, however it ends.

    The child shares this terminal, so its reports show as they are written, and Ctrl-C reaches
    both. Raises LoophoundError when it does not accept within 20 seconds.
    """
    with ending_on_terminate():
        # An option set in the user's environment belongs to their application.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LOOPHOUND_")}
        server = subprocess.Popen(serve_command(record, port), env=environment)
        try:
            wait_until_accepting(server, port)
            yield
        finally:
            stop(server)


def serve_command(record: Path, port: int) -> list[str]:
    return [
        sys.executable, "-m", "loophound", "serve", "loophound.demo.app:app",
        "--host", HOST, "--port", str(port), "--no-access-log", "--timeout-keep-alive", "60",
        "--detect-blocking=stalls", "--record", str(record),
    ]  # fmt: skip


def free_port() -> int:
    """A port that was free a moment ago: the server's reports share our stderr, so it cannot tell us one."""
    with socket.create_server((HOST, 0)) as server:
        return int(server.getsockname()[1])


def wait_until_accepting(server: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + STARTUP_S
    while time.monotonic() < deadline:
        if (code := server.poll()) is not None:
            raise LoophoundError(f"the demo server ended at its start, with exit code {code}")
        with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return
        time.sleep(POLL_S)
    raise LoophoundError(f"the demo server did not start within {STARTUP_S:g} seconds")


def stop(server: subprocess.Popen[bytes]) -> None:
    """Ask the server to stop. Raises LoophoundError when it had to be killed."""
    server.terminate()
    try:
        server.wait(SHUTDOWN_S)
    except subprocess.TimeoutExpired:
        raise LoophoundError(f"the demo server did not stop within {SHUTDOWN_S:g} seconds") from None
    finally:  # also when a second Ctrl-C ends the wait
        server.kill()
        server.wait()


@contextmanager
def ending_on_terminate() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end this process as Ctrl-C does, so that no child is left behind."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

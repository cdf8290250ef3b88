"""The planted calls and their twins, under each server that people deploy."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from loophound import BlockingCall
from tests.calls.planted import app as _  # noqa: F401 - plants them
from tests.calls.planted.base import calls, innocent, planted

pytestmark = pytest.mark.allow_blocking(reason="stand-ins are put around calls, and taken away again, while loops run")
APP = "tests.calls.planted.app:make"
ROOT = Path(__file__).parents[2]
INNOCENT = ("twin", "thread", "short")
COMMANDS = {
    "loophound": ["-m", "loophound", "serve", "--factory", APP, "--port", "PORT", "--no-access-log"],
    "uvicorn": ["-m", "uvicorn", "--factory", APP, "--port", "PORT"],
    "hypercorn": ["-m", "hypercorn", f"{APP}()", "--bind", "127.0.0.1:PORT"],
    "granian": ["-m", "granian", "--interface", "asgi", "--factory", APP, "--port", "PORT"],
}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_until_accepting(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server has ended"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("nobody accepts")


@pytest.fixture(scope="module")
def redis_port() -> Iterator[int]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed (Debian: redis-server)")
    port = free_port()
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        wait_until_accepting(port, process)
        yield port
        process.terminate()


@contextmanager
def serving(server: str, records: Path, redis_port: int) -> Iterator[int]:
    port = free_port()
    command = [sys.executable, *(word.replace("PORT", str(port)) for word in COMMANDS[server])]
    environment = os.environ | {"RECORDS": str(records), "REDIS_PORT": str(redis_port), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, env=environment, cwd=ROOT, stdin=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            wait_until_accepting(port, process)
            yield port
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(5)
            with suppress(ProcessLookupError):  # granian's worker may outlive its parent
                os.killpg(process.pid, signal.SIGKILL)


def ask(port: int, path: str) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
        assert answer.read() == b'"done"'


def planted_lines() -> dict[str, tuple[str, int]]:
    """File and line of each planted call."""
    found = {}
    for name, function in planted.items():
        file, first = function.__code__.co_filename, function.__code__.co_firstlineno
        lines = Path(file).read_text().splitlines()
        line = next(number for number in range(first, first + 20) if "# planted" in lines[number - 1])
        found[name] = (file, line)
    return found


def read(records: Path) -> list[BlockingCall]:
    return [BlockingCall.from_dict(json.loads(line)) for line in records.read_text().splitlines()]


def test_there_are_enough_of_them() -> None:
    assert len(planted) >= 40
    assert planted.keys() == innocent.keys()


@pytest.mark.once
@pytest.mark.parametrize("server", COMMANDS)
def test_every_planted_call_is_flagged_and_nothing_innocent(server: str, tmp_path: Path, redis_port: int) -> None:
    """Innocent are the asynchronous twins, the same calls in a worker thread, and those shorter than the minimum."""
    records = tmp_path / "records"
    failed = {}
    with serving(server, records, redis_port) as port:
        for kind in ("planted", *INNOCENT):
            for name in planted:
                try:
                    ask(port, f"/{kind}/{name}")
                except urllib.error.HTTPError as error:
                    failed[f"{kind}/{name}"] = error.code
    assert not failed
    seen = read(records)
    found = {
        (call.request.path, call.call, call.caller.file, call.caller.line)
        for call in seen
        if call.request is not None and call.caller is not None
    }
    missed = [name for name, place in planted_lines().items() if (f"/planted/{name}", calls[name], *place) not in found]
    accused = [
        f"{call.request}: {call.call} at {call.caller}, {[(f.file, f.line, f.function) for f in call.stack[-6:]]}"
        for call in seen
        if call.request is None or not call.request.path.startswith("/planted/")
    ]
    assert not missed, f"{[(c.call, c.caller) for c in seen if c.request and c.request.path.split('/')[2] in missed]}"
    assert not accused, "\n".join(accused)

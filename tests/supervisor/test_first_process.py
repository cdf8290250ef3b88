"""As process 1 of a container: what is left to it is waited for, and signals reach the server."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from tests.supervisor.namespaces import POSSIBLE, contained
from tests.supervisor.running import wait_until

pytestmark = [pytest.mark.once, pytest.mark.skipif(not POSSIBLE, reason="wants root and unshare(1)")]

# Two children of a child that ends before them: the kernel gives them to process 1. And one of its own.
APP = """
import os, subprocess, sys

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    status = 200
    if scope["path"] == "/leave":
        subprocess.run(["sh", "-c", "sleep 0.1 & sleep 0.2 &"])
    if scope["path"] == "/own":
        status = 200 + subprocess.run(["sh", "-c", "sleep 0.3; exit 7"]).returncode
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b"x"})
"""
SERVE = [sys.executable, "-m", "loophound", "serve", "main:app", "--hang-watch=off", "--lifespan=off"]


@pytest.mark.parametrize("options", [(), ("--workers=2",)])
def test_what_is_left_behind_is_reaped(tmp_path: Path, options: tuple[str, ...]) -> None:
    (tmp_path / "main.py").write_text(APP)
    with contained([*SERVE, *options], tmp_path) as server:
        wait_until(lambda: server.status("http://127.0.0.1:8000/") == 200, "it serves")

        def processes() -> list[str]:
            return [
                line for line in server.run("ps", "-eo", "stat,args").stdout.splitlines()[1:] if "ps -eo" not in line
            ]

        before = len(processes())
        for _ in range(3):
            assert server.status("http://127.0.0.1:8000/leave") == 200
        wait_until(lambda: len(processes()) == before, "no sleeper and no zombie is left")
        assert not [line for line in processes() if line.startswith("Z")]
        # The application's own children are its own to wait for.
        assert server.status("http://127.0.0.1:8000/own") == 207
        assert server.end() == 0
        assert "Shutting down" in server.text


def test_its_end_is_that_of_the_server(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("import nothing_there")
    with contained(SERVE, tmp_path) as server:
        assert server.end(0) == 3
        assert server.text.count("\n") == 1


def test_one_signal_counts_once(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(APP)
    with contained([*SERVE, "--shutdown-delay=60"], tmp_path) as server:
        wait_until(lambda: server.status("http://127.0.0.1:8000/") == 200, "it serves")
        server.send(signal.SIGTERM)
        wait_until(lambda: "serving on until then" in server.text)
        assert server.status("http://127.0.0.1:8000/") == 200
        assert server.end(signal.SIGINT) == 0

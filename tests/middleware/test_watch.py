"""WatchMiddleware under other servers: whose request blocked, and who waited how long."""

from __future__ import annotations

import asyncio
import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from loophound.detector.detector import Detector
from loophound.detector.records import Cause, Stall
from loophound.errors import ConfigError
from loophound.middleware.watch import WatchMiddleware
from loophound.server.hooks import Ended

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the observer reads /proc")

PATIENCE_S = 30.0
APP = """
import asyncio, time
from loophound.middleware.watch import WatchMiddleware

async def respond(send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"x"})

async def inner(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"].endswith("shutdown"):
                return
    if scope["path"] == "/block":
        time.sleep(0.5)
    elif scope["path"] == "/child":
        async with asyncio.TaskGroup() as group:
            group.create_task(child())
    elif scope["path"] == "/slow":
        await asyncio.sleep(0.3)
    await respond(send)

async def child():
    await asyncio.sleep(0)
    time.sleep(0.5)

app = WatchMiddleware(inner, record="stalls.jsonl")
"""
SERVERS = {
    "uvicorn": ["uvicorn", "app:app", "--port"],
    "hypercorn": ["hypercorn", "app:app", "-b"],
    "granian": ["granian", "--interface", "asgi", "app:app", "--port"],
}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def get(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.once
@pytest.mark.parametrize("server", list(SERVERS))
def test_the_request_that_blocked_under(server: str, tmp_path: Path) -> None:
    pytest.importorskip(server, reason=f"{server} is not installed")
    (tmp_path / "app.py").write_text(APP)
    port = free_port()
    where = f"127.0.0.1:{port}" if server == "hypercorn" else str(port)
    process = subprocess.Popen(
        [sys.executable, "-m", *SERVERS[server], where],
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until_served(port)
        time.sleep(0.8)  # the observer starts beside it
        for path in ("/block", "/child"):
            with_a_bystander(port, path)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE_S)
    stalls = [Stall.from_dict(json.loads(line)) for line in (tmp_path / "stalls.jsonl").read_text().splitlines()]
    named = [s for s in stalls if s.cause is Cause.SLEEP and not s.ongoing]
    assert [s.request and s.request.path for s in named] == ["/block", "/child"]
    assert [s.culprit and s.culprit.function for s in named] == ["inner", "child"]
    for stall in named:
        waited = {delay.path: delay.delay_s for delay in stall.delays}
        assert stall.victims == len(waited) == 1
        assert 0.1 <= (waited["/slow"] or 0) <= stall.duration_s


def with_a_bystander(port: int, path: str) -> None:
    """Ask for a path that blocks while another request is on its way."""
    bystander = threading.Thread(target=get, args=(port, "/slow"))
    bystander.start()
    time.sleep(0.1)
    assert get(port, path) == 200
    bystander.join()
    time.sleep(0.2)


def wait_until_served(port: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            assert get(port, "/") == 200
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("it does not serve")


def test_options_are_those_of_the_detector() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    with pytest.raises(ConfigError, match="threshold"):
        WatchMiddleware(app, threshold=-1)


def test_requests_are_counted_and_timed_while_somebody_asks() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["path_template"] = "/show/{id}"

    async def main() -> None:
        watched = WatchMiddleware(app, detector=Detector(observer=False))
        site = watched._site()
        for kind in ("http", "http", "websocket"):
            await watched({"type": kind, "method": "GET", "path": "/show/7", "client": None}, None, None)
        assert site.take_ended(10) == Ended(0, 0, [])  # nobody had asked
        for kind in ("http", "http", "websocket"):
            await watched({"type": kind, "method": "GET", "path": "/show/7", "client": None}, None, None)
        requests, stride, noted = site.take_ended(0)
        assert (requests, stride, [finished[:2] for finished in noted]) == (2, 1, [("GET", "/show/{id}")] * 2)
        assert len(site.lately) == 6
        await watched.aclose()

    asyncio.run(main())

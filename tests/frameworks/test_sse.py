"""Server-Sent Events: they come at once, their clients may leave, and a stop ends them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

import httpx
import pytest

from tests.frameworks.serving import Served, needed, serving
from tests.server.wire import wait_until

needed("sse_starlette")


@pytest.fixture
def events() -> Iterator[Served]:
    with serving("tests.frameworks.apps.with_sse:app") as served:
        yield served


def test_events_until_the_end_and_a_client_that_leaves(events: Served) -> None:
    answer = httpx.get(f"{events.url}/events", params={"count": 3})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.replace("\r\n", "\n").startswith("id: 0\nevent: number\ndata: n 0\n\nid: 1\n")
    with httpx.stream("GET", f"{events.url}/events", params={"name": "me"}) as stream:
        lines = stream.iter_lines()
        while "n 5" not in next(lines):
            continue
    wait_until(lambda: "me" in httpx.get(f"{events.url}/left").json())


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_a_stop_ends_the_streams_of_curl(events: Served) -> None:
    command = ["curl", "--silent", "--no-buffer", f"{events.url}/events"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as curl:
        assert curl.stdout is not None
        assert curl.stdout.readline() == b"id: 0\r\n"
        assert events.stop() == 0
        assert b"n 0" in curl.stdout.read()

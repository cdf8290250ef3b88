"""Calls on a loop's thread, of which each is flagged on the line that names its test, and calls that are nobody's."""

from __future__ import annotations

import asyncio
import subprocess
import threading
import time
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

import loophound

SHORT_S = 0.005


async def sleeps() -> None:
    await asyncio.sleep(0)
    time.sleep(SHORT_S)  # test_sleep test_thread


def test_sleep() -> None:
    asyncio.run(sleeps())


def test_thread() -> None:
    thread = threading.Thread(target=asyncio.run, args=(sleeps(),))
    thread.start()
    thread.join()


def test_callback() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(lambda: time.sleep(SHORT_S))  # test_callback
        await asyncio.sleep(0.02)

    asyncio.run(main())


def test_child() -> None:
    async def main() -> None:
        subprocess.run(["sleep", str(SHORT_S)], check=True)  # test_child

    asyncio.run(main())


def test_client() -> None:
    async def handler(request: Request) -> Response:
        time.sleep(SHORT_S)  # test_client
        return Response()

    TestClient(Starlette(routes=[Route("/", handler)])).get("/")


@pytest.fixture
def connection() -> None:
    async def main() -> None:
        time.sleep(SHORT_S)  # test_fixture

    asyncio.run(main())


def test_fixture(connection: None) -> None: ...


def test_good_no_loop(tmp_path: Path) -> None:
    time.sleep(SHORT_S)
    (tmp_path / "file").write_text("1")
    subprocess.run(["true"], check=True)


def test_good_to_thread() -> None:
    asyncio.run(asyncio.to_thread(time.sleep, SHORT_S))


def test_good_between_runs() -> None:
    asyncio.run(asyncio.sleep(0))
    time.sleep(SHORT_S)


def test_good_client() -> None:
    with TestClient(Starlette()) as client:
        assert client.get("/").status_code == 404


@pytest.mark.allow_blocking(reason="it is old")
def test_good_allowed() -> None:
    asyncio.run(sleeps())


def test_good_allowed_block() -> None:
    async def main() -> None:
        with loophound.allow_blocking("it reads its rules"):
            time.sleep(SHORT_S)

    asyncio.run(main())

"""Tests of which none has a loop blocked by its own fault."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from unittest import IsolatedAsyncioTestCase, TestCase

import anyio
import pytest
import uvloop
from aiohttp import web
from aiohttp.test_utils import TestClient as AiohttpClient
from aiohttp.test_utils import TestServer
from fastapi import FastAPI
from fastapi.testclient import TestClient as FastAPIClient
from starlette.applications import Starlette
from starlette.testclient import TestClient

LONG_S = 0.2
STOPPED_S = 0.5
STOP = f"""
import os, sys, time
os.kill(int(sys.argv[1]), {signal.SIGSTOP:d})
time.sleep({STOPPED_S})
os.kill(int(sys.argv[1]), {signal.SIGCONT:d})
"""


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_waiting(run: object) -> None:
    run(asyncio.sleep(LONG_S))  # type: ignore[operator]


def test_no_loop() -> None:
    time.sleep(LONG_S)


def test_loop_that_does_not_run() -> None:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(asyncio.sleep(0.03))
    time.sleep(LONG_S)
    loop.run_until_complete(asyncio.sleep(0.03))
    loop.close()


def test_to_thread() -> None:
    asyncio.run(asyncio.to_thread(time.sleep, LONG_S))


def test_executor() -> None:
    async def main() -> None:
        with concurrent.futures.ThreadPoolExecutor() as pool:
            await asyncio.get_running_loop().run_in_executor(pool, time.sleep, LONG_S)

    asyncio.run(main())


def test_child_process() -> None:
    async def main() -> None:
        process = await asyncio.create_subprocess_exec("sleep", str(LONG_S))
        await process.wait()

    asyncio.run(main())


def test_forked_child() -> None:
    if os.fork() == 0:
        asyncio.run(block(LONG_S))
        os._exit(0)
    os.wait()


async def block(seconds: float) -> None:
    await asyncio.sleep(0.03)
    time.sleep(seconds)


def test_below_the_limit() -> None:
    asyncio.run(block(0.03))


def test_time_out() -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.sleep(5), LONG_S)

    asyncio.run(main())


def test_many_tasks() -> None:
    async def main() -> None:
        await asyncio.gather(*(asyncio.sleep(n / 5000) for n in range(1000)))

    asyncio.run(main())


def test_debug_mode() -> None:
    asyncio.run(asyncio.sleep(LONG_S), debug=True)


def test_skipped() -> None:
    async def main() -> None:
        await asyncio.sleep(0.03)
        pytest.skip("not here")

    asyncio.run(main())


def test_collection() -> None:
    """A collection is not the test's fault, unless it is asked for."""

    async def main() -> None:
        await asyncio.sleep(0.03)
        gc.collect()

    kept = [[[]] for _ in range(1_500_000)]  # type: ignore[var-annotated]
    asyncio.run(main())
    del kept


def test_another_thread_holds_the_gil() -> None:
    async def main() -> None:
        await asyncio.sleep(0.03)
        thread.start()
        await asyncio.sleep(0.3)

    thread = threading.Thread(target=lambda: re.match(r"(a+)+$", "a" * 24 + "b"))
    asyncio.run(main())
    thread.join()


def test_stopped() -> None:
    async def main() -> None:
        await asyncio.sleep(0.1)
        stopper = subprocess.Popen([sys.executable, "-S", "-c", STOP, str(os.getpid())])
        await asyncio.sleep(STOPPED_S + 0.5)
        stopper.wait()

    asyncio.run(main())


# Threads and fixtures

LEFT: list[threading.Thread] = []


def test_leaves_a_loop_behind() -> None:
    running = threading.Event()

    async def main() -> None:
        running.set()
        await asyncio.sleep(0.4)
        time.sleep(0.3)

    LEFT.append(threading.Thread(target=asyncio.run, args=(main(),)))
    LEFT[0].start()
    running.wait()


def test_of_the_loop_left_behind() -> None:
    LEFT[0].join()


@pytest.fixture(scope="module")
def background() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_idle_loop_of_a_fixture(background: asyncio.AbstractEventLoop) -> None:
    time.sleep(LONG_S)


def test_busy_loop_of_a_fixture(background: asyncio.AbstractEventLoop) -> None:
    asyncio.run_coroutine_threadsafe(asyncio.sleep(LONG_S), background).result()


@pytest.fixture
def slow() -> Iterator[None]:
    time.sleep(LONG_S)
    yield
    time.sleep(LONG_S)


def test_slow_fixture_without_a_loop(slow: None) -> None: ...


class TestIsolated(IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        await asyncio.sleep(LONG_S)

    async def test_isolated(self) -> None:
        await asyncio.sleep(LONG_S)


class TestUnittest(TestCase):
    def test_unittest(self) -> None:
        time.sleep(LONG_S)


# Clients and anyio


def test_client() -> None:
    with TestClient(Starlette()) as client:
        assert client.get("/").status_code == 404


def test_endpoint_in_a_thread() -> None:
    app = FastAPI()
    app.get("/")(lambda: time.sleep(LONG_S))
    assert FastAPIClient(app).get("/").status_code == 200


def test_aiohttp() -> None:
    async def handler(request: web.Request) -> web.Response:
        await asyncio.sleep(LONG_S)
        return web.Response()

    async def main() -> None:
        app = web.Application()
        app.router.add_get("/", handler)
        async with AiohttpClient(TestServer(app)) as client:
            assert (await client.get("/")).status == 200

    asyncio.run(main())


@pytest.fixture(params=["asyncio", ("asyncio", {"use_uvloop": True})], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return request.param


@pytest.fixture
async def connection(anyio_backend: object) -> AsyncIterator[None]:
    await anyio.sleep(0.03)
    yield
    await anyio.sleep(0.03)


@pytest.mark.anyio
async def test_anyio(connection: None) -> None:
    await anyio.sleep(LONG_S)


@pytest.mark.anyio
async def test_anyio_thread(connection: None) -> None:
    await anyio.to_thread.run_sync(time.sleep, LONG_S)

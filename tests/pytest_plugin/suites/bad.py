"""Tests of which each blocks an event loop on the line that names it."""

from __future__ import annotations

import asyncio
import queue
import re
import socket
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Iterator
from unittest import IsolatedAsyncioTestCase

import anyio
import pytest
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

BLOCK_S = 0.25


async def turn() -> None:
    await asyncio.sleep(0.03)


# asyncio.run in a sync test


def test_last_statement() -> None:
    async def main() -> None:
        await turn()
        time.sleep(BLOCK_S)  # test_last_statement

    asyncio.run(main())


def test_first_statement() -> None:
    async def main() -> None:
        time.sleep(BLOCK_S)  # test_first_statement
        await turn()

    asyncio.run(main())


def test_on_uvloop() -> None:
    async def main() -> None:
        await turn()
        time.sleep(BLOCK_S)  # test_on_uvloop

    uvloop.run(main())


def test_background_task() -> None:
    async def background() -> None:
        await turn()
        time.sleep(BLOCK_S)  # test_background_task

    async def main() -> None:
        task = asyncio.create_task(background())
        await asyncio.sleep(0.2)
        await task

    asyncio.run(main())


def test_callback() -> None:
    def callback() -> None:
        time.sleep(BLOCK_S)  # test_callback

    async def main() -> None:
        asyncio.get_running_loop().call_later(0.03, callback)
        await asyncio.sleep(0.1)

    asyncio.run(main())


def test_async_generator() -> None:
    async def numbers() -> AsyncIterator[int]:
        yield 1
        time.sleep(BLOCK_S)  # test_async_generator
        yield 2

    async def main() -> None:
        await turn()
        assert [number async for number in numbers()] == [1, 2]

    asyncio.run(main())


def test_loop_of_its_own_thread() -> None:
    async def main() -> None:
        await turn()
        time.sleep(BLOCK_S)  # test_loop_of_its_own_thread

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    thread.join()


def test_thread_left_behind() -> None:
    blocking = threading.Event()

    async def main() -> None:
        await turn()
        blocking.set()
        time.sleep(0.4)  # test_thread_left_behind

    threading.Thread(target=asyncio.run, args=(main(),)).start()
    blocking.wait()
    time.sleep(0.2)


# Other ways to block


def test_python_code() -> None:
    async def main() -> None:
        await turn()
        until = time.monotonic() + BLOCK_S
        any(time.monotonic() > until for _ in iter(int, 1))  # test_python_code

    asyncio.run(main())


def test_regular_expression() -> None:
    async def main() -> None:
        await turn()
        re.match(r"(a+)+$", "a" * 23 + "b")  # test_regular_expression

    asyncio.run(main())


def test_queue() -> None:
    async def main() -> None:
        await turn()
        with pytest.raises(queue.Empty):
            queue.Queue[int]().get(timeout=BLOCK_S)  # test_queue

    asyncio.run(main())


def test_lock() -> None:
    lock = threading.Lock()

    async def main() -> None:
        await turn()
        lock.acquire()
        lock.acquire(timeout=BLOCK_S)  # test_lock

    asyncio.run(main())


def test_socket() -> None:
    async def main() -> None:
        await turn()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.settimeout(BLOCK_S)
            with pytest.raises(TimeoutError):
                ours.recv(1)  # test_socket

    asyncio.run(main())


def test_child_process() -> None:
    async def main() -> None:
        await turn()
        subprocess.run(["sleep", str(BLOCK_S)], check=True)  # test_child_process

    asyncio.run(main())


# Applications under a test client


async def slow(request: Request) -> Response:
    await turn()
    time.sleep(BLOCK_S)  # test_client test_client_of_module
    return Response()


async def startup() -> None:
    time.sleep(BLOCK_S)  # test_lifespan


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(Starlette(routes=[Route("/", slow)])) as client:
        yield client


def test_client() -> None:
    TestClient(Starlette(routes=[Route("/", slow)])).get("/")


def test_client_of_module(client: TestClient) -> None:
    client.get("/")


def test_lifespan() -> None:
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await startup()
        yield

    from contextlib import asynccontextmanager

    with TestClient(Starlette(lifespan=asynccontextmanager(lifespan))):
        pass


# Fixtures


@pytest.fixture
def set_up() -> None:
    async def main() -> None:
        await turn()
        time.sleep(BLOCK_S)  # test_set_up

    asyncio.run(main())


@pytest.fixture
def torn_down() -> Iterator[None]:
    async def main() -> None:
        await turn()
        time.sleep(BLOCK_S)  # test_torn_down

    yield
    asyncio.run(main())


@pytest.fixture
def outer(request: pytest.FixtureRequest) -> None:
    request.getfixturevalue("inner")


@pytest.fixture
def inner() -> None:
    async def main() -> None:
        await turn()
        time.sleep(BLOCK_S)  # test_inner

    asyncio.run(main())


def test_set_up(set_up: None) -> None: ...
def test_torn_down(torn_down: None) -> None: ...
def test_inner(outer: None) -> None: ...


class TestMethods:
    def setup_method(self) -> None:
        asyncio.run(self.main())

    async def main(self) -> None:
        await turn()
        time.sleep(BLOCK_S)  # test_setup_method

    def test_setup_method(self) -> None: ...


# Runners


class TestCase(IsolatedAsyncioTestCase):
    async def asyncTearDown(self) -> None:
        await turn()
        time.sleep(BLOCK_S)  # test_async_teardown

    async def test_async_teardown(self) -> None: ...


class TestOther(IsolatedAsyncioTestCase):
    async def test_isolated(self) -> None:
        await turn()
        time.sleep(BLOCK_S)  # test_isolated


@pytest.fixture(params=["asyncio", ("asyncio", {"use_uvloop": True})], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return request.param


@pytest.mark.anyio
async def test_anyio() -> None:
    await anyio.sleep(0.03)
    time.sleep(BLOCK_S)  # test_anyio


@pytest.fixture
async def anyio_fixture(anyio_backend: object) -> None:
    await anyio.sleep(0.03)
    time.sleep(BLOCK_S)  # test_anyio_fixture


@pytest.mark.anyio
async def test_anyio_fixture(anyio_fixture: None) -> None: ...


@pytest.mark.stall_limit(30)
def test_limit() -> None:
    async def main() -> None:
        await turn()
        time.sleep(0.07)  # test_limit

    asyncio.run(main())

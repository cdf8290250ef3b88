"""Loops of every kind, blocked on the line that names the test."""

from __future__ import annotations

import asyncio
import concurrent.futures
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
import uvloop

BLOCK_S = 0.2


async def turn() -> None:
    await asyncio.sleep(0.03)


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


def test_runner() -> None:
    async def main() -> None:
        await turn()
        time.sleep(BLOCK_S)  # test_runner

    with asyncio.Runner() as runner:
        runner.run(turn())
        runner.run(main())


def test_loop_by_hand() -> None:
    async def main() -> None:
        await turn()
        time.sleep(BLOCK_S)  # test_loop_by_hand

    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()


def test_background_task() -> None:
    async def background() -> None:
        await turn()
        time.sleep(BLOCK_S)  # test_background_task

    async def main() -> None:
        task = asyncio.create_task(background())
        await asyncio.sleep(0.2)
        await task

    asyncio.run(main())


def test_cancelled_task() -> None:
    async def cancelled() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            time.sleep(BLOCK_S)  # test_cancelled_task

    async def main() -> None:
        task = asyncio.create_task(cancelled())
        await turn()
        task.cancel()
        await turn()

    asyncio.run(main())


def test_callback() -> None:
    def callback() -> None:
        time.sleep(BLOCK_S)  # test_callback

    async def main() -> None:
        asyncio.get_running_loop().call_later(0.03, callback)
        await asyncio.sleep(0.1)

    asyncio.run(main())


def test_done_callback() -> None:
    def callback(future: asyncio.Future[None]) -> None:
        time.sleep(BLOCK_S)  # test_done_callback

    async def main() -> None:
        task = asyncio.create_task(turn())
        task.add_done_callback(callback)
        await asyncio.sleep(0.1)

    asyncio.run(main())


def test_reader() -> None:
    ours, theirs = socket.socketpair()

    def readable(seen: asyncio.Future[bytes]) -> None:
        time.sleep(BLOCK_S)  # test_reader
        seen.set_result(ours.recv(1))

    async def main() -> None:
        await turn()
        loop = asyncio.get_running_loop()
        seen: asyncio.Future[bytes] = loop.create_future()
        loop.add_reader(ours, readable, seen)
        theirs.send(b"1")
        await seen
        loop.remove_reader(ours)

    with ours, theirs:
        asyncio.run(main())


def test_protocol() -> None:
    class Slow(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            time.sleep(BLOCK_S)  # test_protocol

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Slow, "127.0.0.1", 0)
        async with server:
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"1")
            await asyncio.sleep(0.1)
            writer.close()

    uvloop.run(main())


def test_async_generator() -> None:
    async def numbers() -> AsyncIterator[int]:
        yield 1
        time.sleep(BLOCK_S)  # test_async_generator
        yield 2

    async def main() -> None:
        await turn()
        assert [number async for number in numbers()] == [1, 2]

    asyncio.run(main())


def test_context_manager() -> None:
    @asynccontextmanager
    async def session() -> AsyncIterator[None]:
        yield
        await turn()
        time.sleep(BLOCK_S)  # test_context_manager

    async def main() -> None:
        async with session():
            await turn()

    asyncio.run(main())


# Threads


def test_loop_of_its_own_thread() -> None:
    async def main() -> None:
        await turn()
        time.sleep(BLOCK_S)  # test_loop_of_its_own_thread

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    thread.join()


def test_loop_of_a_pool() -> None:
    async def main() -> None:
        await turn()
        time.sleep(BLOCK_S)  # test_loop_of_a_pool

    with concurrent.futures.ThreadPoolExecutor() as pool:
        pool.submit(asyncio.run, main()).result()


def test_thread_left_behind() -> None:
    blocking = threading.Event()

    async def main() -> None:
        await turn()
        blocking.set()
        time.sleep(0.3)  # test_thread_left_behind

    threading.Thread(target=asyncio.run, args=(main(),)).start()
    blocking.wait()
    time.sleep(0.15)


@pytest.fixture(scope="module")
def background() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.mark.parametrize("number", [1, 2])
def test_loop_of_a_fixture(background: asyncio.AbstractEventLoop, number: int) -> None:
    async def main() -> None:
        await turn()
        time.sleep(BLOCK_S)  # test_loop_of_a_fixture

    asyncio.run_coroutine_threadsafe(main(), background).result()


@pytest.mark.stall_limit(30)
def test_limit() -> None:
    async def main() -> None:
        await turn()
        time.sleep(0.07)  # test_limit

    asyncio.run(main())

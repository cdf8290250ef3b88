"""Loops that nobody blocks, whatever else goes on: nothing may be reported."""

from __future__ import annotations

import asyncio
import concurrent.futures
import multiprocessing
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator

import loophound
from loophound.detector.records import Cause
from tests.corpus.scenario import BLOCKED_S, Expected, quiet, quiet_but_for_a_start, stalls

PAUSE_S = 0.03


@quiet
async def quiet_await() -> None:
    await asyncio.sleep(0.5)


@quiet
async def quiet_turns() -> None:
    until = time.monotonic() + 0.4
    while time.monotonic() < until:
        await asyncio.sleep(0)


@quiet
async def quiet_sleep_in_a_thread() -> None:
    await asyncio.gather(*(asyncio.to_thread(time.sleep, BLOCKED_S) for _ in range(5)))


@quiet_but_for_a_start
async def quiet_child_process() -> None:
    child = await asyncio.create_subprocess_exec("sleep", str(BLOCKED_S))
    await child.wait()


@quiet_but_for_a_start
async def quiet_child_that_talks() -> None:
    child = await asyncio.create_subprocess_exec("sh", "-c", f"sleep {BLOCKED_S}; echo x", stdout=subprocess.PIPE)
    out, _ = await child.communicate()
    assert out == b"x\n"


@quiet
async def quiet_blocks_below_the_threshold() -> None:
    for _ in range(5):
        time.sleep(0.06)
        await asyncio.sleep(0.01)


@quiet
async def quiet_work_below_the_threshold() -> None:
    for _ in range(6):
        until = time.thread_time() + 0.04
        while time.thread_time() < until:
            pass
        await asyncio.sleep(0.005)


@quiet
async def quiet_short_callbacks_in_many_turns() -> None:
    for _ in range(30):
        time.sleep(0.01)
        await asyncio.sleep(0)


@quiet
async def quiet_select_in_another_thread() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        thread = threading.Thread(target=select.select, args=([ours], [], [], BLOCKED_S))
        thread.start()
        await asyncio.sleep(BLOCKED_S + 0.05)
        thread.join()


@quiet
async def quiet_thread_that_computes() -> None:
    def compute() -> None:
        until = time.thread_time() + BLOCKED_S
        while time.thread_time() < until:
            sum(range(100))

    await asyncio.to_thread(compute)


@quiet_but_for_a_start
async def quiet_pool_of_processes() -> None:
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
        await asyncio.get_running_loop().run_in_executor(pool, time.sleep, 0.01)
        job = asyncio.get_running_loop().run_in_executor(pool, time.sleep, BLOCKED_S)
        await job
        await asyncio.to_thread(pool.shutdown)


@quiet
async def quiet_asyncio_locks() -> None:
    lock = asyncio.Lock()

    async def hold() -> None:
        async with lock:
            await asyncio.sleep(0.1)

    await asyncio.gather(*(hold() for _ in range(4)))


@quiet
async def quiet_server_and_clients() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    for _ in range(30):
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"hello")
        assert await reader.read(5) == b"hello"
        writer.close()
    server.close()
    await asyncio.sleep(0.1)


@quiet
async def quiet_async_generators() -> None:
    async def numbers() -> AsyncIterator[int]:
        for number in range(30):
            await asyncio.sleep(0.01)
            yield number

    assert [n async for n in numbers()]


@quiet
async def quiet_another_loop_in_a_thread() -> None:
    await asyncio.to_thread(asyncio.run, asyncio.sleep(BLOCKED_S))


@quiet
async def quiet_allowed_block() -> None:
    await asyncio.sleep(PAUSE_S)
    with loophound.allow_blocking("a scenario"):
        time.sleep(BLOCKED_S)
    await asyncio.sleep(PAUSE_S)


@quiet
async def quiet_allowed_function() -> None:
    @loophound.allow_blocking("a scenario")
    def load() -> None:
        time.sleep(BLOCKED_S)

    await asyncio.sleep(PAUSE_S)
    load()
    await asyncio.sleep(PAUSE_S)


@quiet
async def quiet_event_of_another_thread() -> None:
    done = threading.Event()
    threading.Timer(BLOCKED_S, done.set).start()
    await asyncio.to_thread(done.wait)


@quiet
async def quiet_timers() -> None:
    loop = asyncio.get_running_loop()
    for number in range(200):
        loop.call_later(number / 500, lambda: None)
    await asyncio.sleep(0.45)


@quiet
async def quiet_exceptions() -> None:
    async def fails() -> None:
        await asyncio.sleep(0.01)
        raise ValueError

    for _ in range(20):
        await asyncio.gather(fails(), fails(), return_exceptions=True)


@quiet
async def quiet_cancelled() -> None:
    for _ in range(10):
        try:
            async with asyncio.timeout(0.02):
                await asyncio.sleep(10)
        except TimeoutError:
            pass


@stalls(Expected((Cause.SLEEP,), "quiet_but_for_one"))
async def quiet_but_for_one() -> None:
    with loophound.allow_blocking("a scenario"):
        await asyncio.sleep(PAUSE_S)
    time.sleep(BLOCKED_S)  # !quiet_but_for_one
    await asyncio.sleep(PAUSE_S)


@quiet
async def quiet_fork() -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        time.sleep(0.2)  # a child is not watched
        os.write(writing, b"x")
        os._exit(0)
    await asyncio.to_thread(os.read, reading, 1)
    await asyncio.to_thread(os.waitpid, child, 0)
    os.close(reading)
    os.close(writing)


@quiet_but_for_a_start
async def quiet_start_of_a_python() -> None:
    child = await asyncio.create_subprocess_exec(sys.executable, "-S", "-c", "pass")
    assert await child.wait() == 0

"""Sleeps, in every place where a loop runs code."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import functools
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import anyio.from_thread

from loophound.detector.records import Cause
from tests.corpus.scenario import BLOCKED_S, Expected, stall, stalls

PAUSE_S = 0.03
sleeps = functools.partial(stall, Cause.SLEEP)


@sleeps()
async def sleep_in_a_coroutine() -> None:
    await asyncio.sleep(PAUSE_S)
    time.sleep(BLOCKED_S)  # !sleep_in_a_coroutine
    await asyncio.sleep(PAUSE_S)


@sleeps()
async def sleep_at_once() -> None:
    time.sleep(BLOCKED_S)  # !sleep_at_once


@sleeps()
async def sleep_as_last_line_of_a_helper() -> None:
    def outer() -> None:
        inner()

    def inner() -> None:
        time.sleep(BLOCKED_S)  # !sleep_as_last_line_of_a_helper

    await asyncio.sleep(PAUSE_S)
    outer()
    await asyncio.sleep(PAUSE_S)


@sleeps()
async def sleep_in_a_generator() -> None:
    def numbers() -> Iterator[int]:
        yield 1
        time.sleep(BLOCKED_S)  # !sleep_in_a_generator
        yield 2

    await asyncio.sleep(PAUSE_S)
    assert list(numbers()) == [1, 2]


@sleeps()
async def sleep_in_an_async_generator() -> None:
    async def numbers() -> AsyncIterator[int]:
        await asyncio.sleep(0)
        yield 1
        time.sleep(BLOCKED_S)  # !sleep_in_an_async_generator
        yield 2

    assert [n async for n in numbers()] == [1, 2]
    await asyncio.sleep(PAUSE_S)


@sleeps()
async def sleep_in_the_end_of_an_async_generator() -> None:
    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            time.sleep(BLOCKED_S)  # !sleep_in_the_end_of_an_async_generator

    async for _ in numbers():
        break
    await asyncio.sleep(PAUSE_S)


@sleeps()
async def sleep_in_del() -> None:
    class Resource:
        def __del__(self) -> None:
            time.sleep(BLOCKED_S)  # !sleep_in_del

    resource: Any = Resource()
    await asyncio.sleep(PAUSE_S)
    resource = None
    assert resource is None
    await asyncio.sleep(PAUSE_S)


@sleeps()
async def sleep_in_a_context_manager() -> None:
    @contextlib.contextmanager
    def timed() -> Iterator[None]:
        yield
        time.sleep(BLOCKED_S)  # !sleep_in_a_context_manager

    await asyncio.sleep(PAUSE_S)
    with timed():
        await asyncio.sleep(0)
    await asyncio.sleep(PAUSE_S)


@sleeps()
async def sleep_in_aenter() -> None:
    class Session:
        async def __aenter__(self) -> None:
            time.sleep(BLOCKED_S)  # !sleep_in_aenter

        async def __aexit__(self, *_: object) -> None:
            await asyncio.sleep(0)

    await asyncio.sleep(PAUSE_S)
    async with Session():
        await asyncio.sleep(PAUSE_S)


@sleeps()
async def sleep_below_a_decorator() -> None:
    def logged(function: Callable[[], None]) -> Callable[[], None]:
        @functools.wraps(function)
        def wrapper() -> None:
            return function()

        return wrapper

    @logged
    @functools.lru_cache
    def work() -> None:
        time.sleep(BLOCKED_S)  # !sleep_below_a_decorator

    await asyncio.sleep(PAUSE_S)
    work()
    await asyncio.sleep(PAUSE_S)


@sleeps()
async def sleep_in_a_comprehension() -> None:
    await asyncio.sleep(PAUSE_S)
    assert [time.sleep(BLOCKED_S / 20) for _ in range(20)]  # !sleep_in_a_comprehension
    await asyncio.sleep(PAUSE_S)


@sleeps()
async def sleep_in_a_lambda() -> None:
    wait = lambda: time.sleep(BLOCKED_S)  # noqa: E731 # !sleep_in_a_lambda
    await asyncio.sleep(PAUSE_S)
    wait()
    await asyncio.sleep(PAUSE_S)


@sleeps()
async def sleep_in_a_property() -> None:
    class Row:
        @property
        def total(self) -> int:
            time.sleep(BLOCKED_S)  # !sleep_in_a_property
            return 1

    await asyncio.sleep(PAUSE_S)
    assert Row().total


@sleeps()
async def sleep_in_a_key_function() -> None:
    def key(number: int) -> int:
        time.sleep(BLOCKED_S / 3)  # !sleep_in_a_key_function
        return -number

    await asyncio.sleep(PAUSE_S)
    assert sorted([1, 2, 3], key=key) == [3, 2, 1]
    await asyncio.sleep(PAUSE_S)


@sleeps()
async def sleep_while_an_exception_is_handled() -> None:
    await asyncio.sleep(PAUSE_S)
    try:
        raise ValueError
    except ValueError:
        time.sleep(BLOCKED_S)  # !sleep_while_an_exception_is_handled


@sleeps()
async def sleep_below_deep_recursion() -> None:
    def down(depth: int) -> None:
        if depth:
            return down(depth - 1)
        time.sleep(BLOCKED_S)  # !sleep_below_deep_recursion
        return None

    await asyncio.sleep(PAUSE_S)
    down(400)
    await asyncio.sleep(PAUSE_S)


@sleeps()
async def sleep_in_call_soon() -> None:
    def callback() -> None:
        time.sleep(BLOCKED_S)  # !sleep_in_call_soon

    asyncio.get_running_loop().call_soon(callback)
    await asyncio.sleep(PAUSE_S)


@sleeps()
async def sleep_in_call_later() -> None:
    def callback() -> None:
        time.sleep(BLOCKED_S)  # !sleep_in_call_later

    asyncio.get_running_loop().call_later(PAUSE_S, callback)
    await asyncio.sleep(2 * PAUSE_S)


@sleeps()
async def sleep_in_a_done_callback() -> None:
    def callback(_: object) -> None:
        time.sleep(BLOCKED_S)  # !sleep_in_a_done_callback

    task = asyncio.ensure_future(asyncio.sleep(PAUSE_S))
    task.add_done_callback(callback)
    await task
    await asyncio.sleep(PAUSE_S)


@sleeps()
async def sleep_in_an_executors_callback() -> None:
    def callback(_: object) -> None:
        time.sleep(BLOCKED_S)  # !sleep_in_an_executors_callback

    future = asyncio.get_running_loop().run_in_executor(None, time.sleep, PAUSE_S)
    future.add_done_callback(callback)
    await future
    await asyncio.sleep(PAUSE_S)


@sleeps()
async def sleep_in_data_received() -> None:
    class Receiver(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            time.sleep(BLOCKED_S)  # !sleep_in_data_received

    ours, theirs = socket.socketpair()
    transport, _ = await asyncio.get_running_loop().create_connection(Receiver, sock=ours)
    theirs.send(b"x")
    await asyncio.sleep(PAUSE_S)
    transport.close()
    theirs.close()
    await asyncio.sleep(PAUSE_S)


@sleeps()
async def sleep_in_an_added_reader() -> None:
    reading, writing = os.pipe()
    loop = asyncio.get_running_loop()

    def readable() -> None:
        os.read(reading, 1)
        time.sleep(BLOCKED_S)  # !sleep_in_an_added_reader

    loop.add_reader(reading, readable)
    os.write(writing, b"x")
    await asyncio.sleep(PAUSE_S)
    loop.remove_reader(reading)
    os.close(reading)
    os.close(writing)


@sleeps()
async def sleep_for_a_client_of_a_stream_server() -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        time.sleep(BLOCKED_S)  # !sleep_for_a_client_of_a_stream_server
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    assert await reader.read() == b""
    writer.close()
    server.close()
    await asyncio.sleep(PAUSE_S)


@sleeps()
async def sleep_in_the_loops_signal_handler() -> None:
    loop = asyncio.get_running_loop()

    def handler() -> None:
        time.sleep(BLOCKED_S)  # !sleep_in_the_loops_signal_handler

    loop.add_signal_handler(signal.SIGUSR1, handler)
    os.kill(os.getpid(), signal.SIGUSR1)
    await asyncio.sleep(PAUSE_S)
    await asyncio.sleep(PAUSE_S)
    loop.remove_signal_handler(signal.SIGUSR1)


@sleeps()
async def sleep_in_pythons_signal_handler() -> None:
    def handler(*_: object) -> None:
        time.sleep(BLOCKED_S)  # !sleep_in_pythons_signal_handler

    before = signal.signal(signal.SIGUSR1, handler)
    threading.Timer(PAUSE_S, os.kill, (os.getpid(), signal.SIGUSR1)).start()
    await asyncio.sleep(0.15)
    await asyncio.sleep(PAUSE_S)
    signal.signal(signal.SIGUSR1, before)


@sleeps()
async def sleep_in_a_child_task() -> None:
    async def child() -> None:
        await asyncio.sleep(PAUSE_S)
        time.sleep(BLOCKED_S)  # !sleep_in_a_child_task

    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(PAUSE_S))
        group.create_task(child())


@sleeps()
async def sleep_beside_innocent_tasks() -> None:
    async def innocent() -> None:
        for _ in range(10):
            await asyncio.sleep(0.005)

    async def guilty() -> None:
        await asyncio.sleep(0.02)
        time.sleep(BLOCKED_S)  # !sleep_beside_innocent_tasks

    await asyncio.gather(*(innocent() for _ in range(20)), guilty(), *(innocent() for _ in range(20)))


@sleeps()
async def sleep_in_anyios_task_group() -> None:
    async def child() -> None:
        time.sleep(BLOCKED_S)  # !sleep_in_anyios_task_group

    await asyncio.sleep(PAUSE_S)
    async with anyio.create_task_group() as group:
        group.start_soon(child)


@sleeps(thread="portal")
async def sleep_in_a_portals_loop() -> None:
    def work() -> None:
        threading.current_thread().name = "portal"
        with anyio.from_thread.start_blocking_portal() as portal:
            portal.call(anyio.sleep, PAUSE_S)

    async def blocks() -> None:
        await anyio.sleep(PAUSE_S)
        time.sleep(BLOCKED_S)  # !sleep_in_a_portals_loop
        await anyio.sleep(PAUSE_S)

    def run() -> None:
        asyncio.run(blocks())

    work_thread = threading.Thread(target=work)
    work_thread.start()
    thread = threading.Thread(target=run, name="portal")
    thread.start()
    while thread.is_alive() or work_thread.is_alive():
        await asyncio.sleep(0.01)


@sleeps()
async def sleep_in_a_blocking_portals_call() -> None:
    async def blocks() -> None:
        await anyio.sleep(PAUSE_S)
        time.sleep(BLOCKED_S)  # !sleep_in_a_blocking_portals_call
        await anyio.sleep(PAUSE_S)

    def use() -> None:
        with anyio.from_thread.start_blocking_portal() as portal:
            portal.call(blocks)

    await asyncio.to_thread(use)


@sleeps()
async def sleep_below_code_that_was_made() -> None:
    def wait() -> None:
        time.sleep(BLOCKED_S)  # !sleep_below_code_that_was_made

    space: dict[str, Any] = {"wait": wait}
    exec("def run():\n    wait()\n", space)
    await asyncio.sleep(PAUSE_S)
    space["run"]()
    await asyncio.sleep(PAUSE_S)


@sleeps()
async def many_short_sleeps() -> None:
    await asyncio.sleep(PAUSE_S)
    for _ in range(60):
        time.sleep(BLOCKED_S / 60)  # !many_short_sleeps
    await asyncio.sleep(PAUSE_S)


@sleeps()
async def sleep_in_short_steps_of_several_functions() -> None:
    def first() -> None:
        time.sleep(0.008)

    def second() -> None:
        time.sleep(0.025)  # !sleep_in_short_steps_of_several_functions

    await asyncio.sleep(PAUSE_S)
    for _ in range(10):
        first()
        second()
    await asyncio.sleep(PAUSE_S)


@sleeps(held=True)
async def sleep_in_c_that_keeps_the_gil() -> None:
    libc = ctypes.PyDLL(None)
    await asyncio.sleep(PAUSE_S)
    libc.usleep(int(BLOCKED_S * 1e6))  # !sleep_in_c_that_keeps_the_gil
    await asyncio.sleep(PAUSE_S)


@stall(Cause.SLEEP, Cause.IO)
async def sleep_by_select() -> None:
    await asyncio.sleep(PAUSE_S)
    select.select([], [], [], BLOCKED_S)  # !sleep_by_select
    await asyncio.sleep(PAUSE_S)


@stalls(
    Expected((Cause.SLEEP,), "two_back_to_back:first"),
    Expected((Cause.SLEEP,), "two_back_to_back:second"),
)
async def two_back_to_back() -> None:
    async def first() -> None:
        time.sleep(BLOCKED_S)  # !two_back_to_back:first

    async def second() -> None:
        time.sleep(BLOCKED_S)  # !two_back_to_back:second

    await asyncio.sleep(PAUSE_S)
    await asyncio.gather(first(), second())
    await asyncio.sleep(PAUSE_S)


@stalls(
    Expected((Cause.SLEEP,), "two_callbacks_back_to_back:first"),
    Expected((Cause.SLEEP,), "two_callbacks_back_to_back:second"),
)
async def two_callbacks_back_to_back() -> None:
    def first() -> None:
        time.sleep(BLOCKED_S)  # !two_callbacks_back_to_back:first

    def second() -> None:
        time.sleep(BLOCKED_S)  # !two_callbacks_back_to_back:second

    loop = asyncio.get_running_loop()
    await asyncio.sleep(PAUSE_S)
    loop.call_soon(first)
    loop.call_soon(second)
    await asyncio.sleep(PAUSE_S)


@stalls(Expected((Cause.SLEEP,)), Expected((Cause.SLEEP,)))
async def two_calls_of_one_callback() -> None:
    def callback() -> None:
        time.sleep(BLOCKED_S)  # !two_calls_of_one_callback

    loop = asyncio.get_running_loop()
    await asyncio.sleep(PAUSE_S)
    loop.call_soon(callback)
    loop.call_soon(callback)
    await asyncio.sleep(PAUSE_S)


@stalls(Expected((Cause.SLEEP,), "two_in_turns"), Expected((Cause.SLEEP,), "two_in_turns:again"))
async def two_in_turns() -> None:
    await asyncio.sleep(PAUSE_S)
    time.sleep(BLOCKED_S)  # !two_in_turns
    await asyncio.sleep(PAUSE_S)
    time.sleep(BLOCKED_S)  # !two_in_turns:again
    await asyncio.sleep(PAUSE_S)


@sleeps()
async def a_majority_of_two_sleeps() -> None:
    def short() -> None:
        time.sleep(0.06)

    def long() -> None:
        time.sleep(BLOCKED_S)  # !a_majority_of_two_sleeps

    await asyncio.sleep(PAUSE_S)
    short()
    long()
    short()
    await asyncio.sleep(PAUSE_S)


@sleeps()
async def sleep_with_another_thread_at_work() -> None:
    stop = threading.Event()

    def burn() -> None:
        while not stop.is_set():
            sum(range(1000))

    thread = threading.Thread(target=burn)
    thread.start()
    await asyncio.sleep(PAUSE_S)
    time.sleep(BLOCKED_S)  # !sleep_with_another_thread_at_work
    stop.set()
    thread.join()


@sleeps()
async def sleep_in_a_method_of_a_class_in_a_list() -> None:
    class Plugin:
        def __call__(self) -> None:
            self.run()

        def run(self) -> None:
            time.sleep(BLOCKED_S)  # !sleep_in_a_method_of_a_class_in_a_list

    await asyncio.sleep(PAUSE_S)
    assert [plugin() for plugin in [Plugin()]]
    await asyncio.sleep(PAUSE_S)


def eager_factory(loop: Any, coroutine: Any, *, name: Any = None, context: Any = None, **_: Any) -> Any:
    """uvloop 0.23 hands over `eager_start`, which the factory of CPython 3.13.0 does not know."""
    return asyncio.eager_task_factory(loop, coroutine, name=name, context=context)  # type: ignore[attr-defined]


@sleeps()
async def sleep_in_an_eager_task() -> None:
    async def child() -> None:
        time.sleep(BLOCKED_S)  # !sleep_in_an_eager_task

    await asyncio.sleep(PAUSE_S)
    loop = asyncio.get_running_loop()
    if sys.version_info >= (3, 12):
        loop.set_task_factory(eager_factory)
    await asyncio.create_task(child())
    loop.set_task_factory(None)
    await asyncio.sleep(PAUSE_S)

"""Runs of trio, alone and under anyio's plugin, blocked on the line that names the test."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import AsyncIterator

import anyio
import pytest
import trio
from trio import run

BLOCK_S = 0.2


async def blocks() -> None:
    await trio.sleep(0.03)
    time.sleep(BLOCK_S)  # test_run test_run_by_its_name test_thread


def test_run() -> None:
    trio.run(blocks)


def test_run_by_its_name() -> None:
    run(blocks)


def test_thread() -> None:
    thread = threading.Thread(target=trio.run, args=(blocks,))
    thread.start()
    thread.join()


def test_nursery() -> None:
    async def child() -> None:
        await trio.sleep(0.03)
        time.sleep(BLOCK_S)  # test_nursery

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)
            await trio.sleep(0.1)

    trio.run(main)


def test_regular_expression() -> None:
    async def main() -> None:
        await trio.sleep(0.03)
        re.match(r"(a+)+$", "a" * 24 + "b")  # test_regular_expression

    trio.run(main)


def test_anyio_run() -> None:
    async def main() -> None:
        await anyio.sleep(0.03)
        time.sleep(BLOCK_S)  # test_anyio_run

    anyio.run(main, backend="trio")


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "trio"


@pytest.fixture(scope="module")
async def server(anyio_backend: str) -> AsyncIterator[None]:
    await anyio.sleep(0.03)
    time.sleep(BLOCK_S)  # test_fixture
    yield
    await anyio.sleep(0.03)
    time.sleep(BLOCK_S)  # test_last


@pytest.mark.anyio
async def test_fixture(server: None) -> None: ...


@pytest.mark.anyio
async def test_anyio(server: None) -> None:
    await anyio.sleep(0.03)
    time.sleep(BLOCK_S)  # test_anyio


@pytest.mark.anyio
async def test_anyio_task_group() -> None:
    async def child() -> None:
        await anyio.sleep(0.03)
        time.sleep(BLOCK_S)  # test_anyio_task_group

    async with anyio.create_task_group() as group:
        group.start_soon(child)
        await anyio.sleep(0.1)


@pytest.mark.anyio
async def test_last() -> None: ...

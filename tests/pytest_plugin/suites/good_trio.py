"""Runs of trio that nobody blocks; the one of anyio's fixture is not called between its tests."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import anyio
import pytest
import trio

LONG_S = 0.2


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "trio"


@pytest.fixture(scope="module")
async def server(anyio_backend: str) -> AsyncIterator[None]:
    await anyio.sleep(0.03)
    yield
    await anyio.sleep(0.03)


def test_waiting() -> None:
    trio.run(trio.sleep, LONG_S)


def test_thread() -> None:
    trio.run(trio.to_thread.run_sync, time.sleep, LONG_S)


def test_between_two_runs() -> None:
    trio.run(trio.sleep, 0.03)
    time.sleep(LONG_S)
    trio.run(trio.sleep, 0.03)


@pytest.mark.anyio
async def test_anyio(server: None) -> None:
    await anyio.sleep(LONG_S)


def test_guest_not_called() -> None:
    time.sleep(LONG_S)


def test_guest_not_called_and_busy() -> None:
    until = time.thread_time() + LONG_S
    while time.thread_time() < until:
        pass


@pytest.mark.anyio
async def test_anyio_thread(server: None) -> None:
    await anyio.to_thread.run_sync(time.sleep, LONG_S)


@pytest.mark.anyio
@pytest.mark.allow_blocking(reason="it is old")
async def test_allowed(server: None) -> None:
    await anyio.sleep(0.03)
    time.sleep(LONG_S)

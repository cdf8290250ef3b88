"""Tests of pytest-asyncio in its auto mode; the ones that block do so on the line that names them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

BLOCK_S = 0.2


@pytest.fixture
async def database() -> AsyncIterator[None]:
    yield
    await asyncio.sleep(0.03)
    time.sleep(BLOCK_S)  # test_torn_down


async def test_torn_down(database: None) -> None: ...


async def test_good() -> None:
    await asyncio.sleep(0.2)


async def test_call() -> None:
    await asyncio.sleep(0.03)
    time.sleep(BLOCK_S)  # test_call


@pytest.mark.parametrize("number", [1, 2])
async def test_task(number: int) -> None:
    async def child() -> None:
        await asyncio.sleep(0.03)
        time.sleep(BLOCK_S)  # test_task

    await asyncio.create_task(child())

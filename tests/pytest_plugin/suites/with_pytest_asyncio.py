"""Tests for pytest-asyncio; the ones that block do so on the line that names them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

BLOCK_S = 0.25


@pytest_asyncio.fixture
async def database() -> AsyncIterator[None]:
    await asyncio.sleep(0.03)
    time.sleep(BLOCK_S)  # test_set_up
    yield


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[None]:
    yield
    await asyncio.sleep(0.03)
    time.sleep(BLOCK_S)  # test_torn_down


@pytest.mark.asyncio
async def test_set_up(database: None) -> None:
    await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_good() -> None:
    await asyncio.sleep(0.2)


@pytest.mark.asyncio
async def test_call() -> None:
    await asyncio.sleep(0.03)
    time.sleep(BLOCK_S)  # test_call


@pytest.mark.asyncio(loop_scope="module")
async def test_of_module() -> None:
    await asyncio.sleep(0.03)
    time.sleep(BLOCK_S)  # test_of_module


@pytest.mark.asyncio(loop_scope="module")
async def test_torn_down(server: None) -> None:
    await asyncio.sleep(0)

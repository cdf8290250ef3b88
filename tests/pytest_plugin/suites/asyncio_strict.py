"""Tests of pytest-asyncio in its strict mode, of all loop scopes; who blocks does so on the line that names it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

BLOCK_S = 0.2


async def turn() -> None:
    await asyncio.sleep(0.03)


@pytest_asyncio.fixture
async def database() -> AsyncIterator[None]:
    await turn()
    time.sleep(BLOCK_S)  # test_set_up
    yield


@pytest_asyncio.fixture
async def quick() -> AsyncIterator[int]:
    await turn()
    yield 1
    await turn()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[None]:
    yield
    await turn()
    time.sleep(BLOCK_S)  # test_torn_down


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def broker() -> AsyncIterator[None]:
    await turn()
    time.sleep(BLOCK_S)  # test_session_fixture
    yield


@pytest.mark.asyncio
async def test_set_up(database: None) -> None: ...


@pytest.mark.asyncio
async def test_good(quick: int) -> None:
    await asyncio.sleep(0.2)


@pytest.mark.asyncio
async def test_call() -> None:
    await turn()
    time.sleep(BLOCK_S)  # test_call


@pytest.mark.asyncio(loop_scope="class")
class TestClass:
    async def test_of_class(self) -> None:
        await turn()
        time.sleep(BLOCK_S)  # test_of_class

    async def test_good_of_class(self) -> None:
        await turn()


@pytest.mark.asyncio(loop_scope="module")
async def test_of_module() -> None:
    await turn()
    time.sleep(BLOCK_S)  # test_of_module


@pytest.mark.asyncio(loop_scope="package")
async def test_of_package() -> None:
    await turn()
    time.sleep(BLOCK_S)  # test_of_package


@pytest.mark.asyncio(loop_scope="session")
async def test_of_session() -> None:
    await turn()
    time.sleep(BLOCK_S)  # test_of_session


@pytest.mark.asyncio(loop_scope="session")
async def test_session_fixture(broker: None) -> None: ...


@pytest.mark.asyncio(loop_scope="module")
async def test_torn_down(server: None) -> None: ...

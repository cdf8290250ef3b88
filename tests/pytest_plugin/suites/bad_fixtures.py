"""Fixtures of which each blocks a loop on the line that names a test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from unittest import IsolatedAsyncioTestCase, TestCase

import pytest

BLOCK_S = 0.2


async def turn() -> None:
    await asyncio.sleep(0.03)


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


@pytest.fixture(scope="session")
def session() -> Iterator[None]:
    async def main() -> None:
        await turn()
        time.sleep(BLOCK_S)  # test_last

    yield
    asyncio.run(main())


@pytest.fixture(scope="class")
def of_class(session: None) -> None:
    async def main() -> None:
        await turn()
        time.sleep(BLOCK_S)  # test_first_of_class

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


@pytest.fixture
def finalized(request: pytest.FixtureRequest) -> None:
    async def main() -> None:
        await turn()
        time.sleep(BLOCK_S)  # test_finalizer

    request.addfinalizer(lambda: asyncio.run(main()))  # noqa: PT021 - meant


def test_set_up(set_up: None) -> None: ...
def test_torn_down(torn_down: None) -> None: ...
def test_inner(outer: None) -> None: ...
def test_finalizer(finalized: None) -> None: ...


class TestClass:
    def test_first_of_class(self, of_class: None) -> None: ...
    def test_second_of_class(self, of_class: None) -> None: ...


class TestMethods:
    def setup_method(self) -> None:
        asyncio.run(self.main())

    async def main(self) -> None:
        await turn()
        time.sleep(BLOCK_S)  # test_setup_method

    def test_setup_method(self) -> None: ...


class TestUnittest(TestCase):
    def setUp(self) -> None:
        asyncio.run(self.main())

    async def main(self) -> None:
        await turn()
        time.sleep(BLOCK_S)  # test_unittest

    def test_unittest(self) -> None: ...


class TestAsyncSetUp(IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        await turn()
        time.sleep(BLOCK_S)  # test_async_set_up

    async def test_async_set_up(self) -> None: ...


class TestAsyncTearDown(IsolatedAsyncioTestCase):
    async def asyncTearDown(self) -> None:
        await turn()
        time.sleep(BLOCK_S)  # test_async_teardown

    async def test_async_teardown(self) -> None: ...


class TestIsolated(IsolatedAsyncioTestCase):
    async def test_isolated(self) -> None:
        await turn()
        time.sleep(BLOCK_S)  # test_isolated


def test_last(session: None) -> None: ...

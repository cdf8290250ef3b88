"""The last two runs of asyncio.run() are passed over where nobody's code can run in them, and only there."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from loophound.detector.adapters.loops import LoopWatch


@pytest.fixture
def runs() -> Iterator[list[object]]:
    told: list[object] = []
    watch = LoopWatch(lambda loop, base: told.append(loop), lambda ticket: None)
    watch.install()
    yield told
    watch.remove()


def test_nothing_is_open(runs: list[object]) -> None:
    async def main() -> None:
        await asyncio.sleep(0)

    asyncio.run(main())
    assert len(runs) == 1


def test_an_async_generator_is_open(runs: list[object]) -> None:
    closed = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            closed.append(len(runs))

    async def main() -> None:
        nonlocal kept
        kept = numbers()
        await anext(kept)

    kept: AsyncIterator[int]
    asyncio.run(main())
    assert closed == [2]
    assert len(runs) == 2


def test_the_executor_has_threads(runs: list[object]) -> None:
    async def main() -> None:
        await asyncio.to_thread(time.sleep, 0)

    asyncio.run(main())
    assert len(runs) == 2


def test_a_timer_is_due(runs: list[object]) -> None:
    called = []

    async def main() -> None:
        loop = asyncio.get_running_loop()  # whose last turn of this run is the next
        loop.call_soon(loop.call_later, 0, lambda: called.append(len(runs)))

    asyncio.run(main())
    assert called == [2]


def test_a_connection_is_open(runs: list[object]) -> None:
    called = []
    ours, theirs = socket.socketpair()

    async def main() -> None:
        def readable() -> None:
            called.append(len(runs))
            asyncio.get_running_loop().remove_reader(ours)

        loop = asyncio.get_running_loop()
        loop.call_soon(loop.add_reader, ours, readable)
        theirs.send(b"x")

    with ours, theirs:
        asyncio.run(main())
    assert called == [2]


def test_a_callback_waits(runs: list[object]) -> None:
    called = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, lambda: called.append(len(runs)))

    asyncio.run(main())
    assert called == [2]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
def test_with_eager_tasks(runs: list[object]) -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined, unused-ignore]

    asyncio.run(main())
    assert 1 <= len(runs) <= 3


def test_a_loop_that_closes_in_its_own_way(runs: list[object]) -> None:
    class Own(asyncio.SelectorEventLoop):
        async def shutdown_asyncgens(self) -> None:
            await asyncio.sleep(0)

    loop = Own()
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    assert len(runs) == 1

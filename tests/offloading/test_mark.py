from __future__ import annotations

import asyncio
import functools
import inspect
import os
import threading
import traceback
from collections.abc import AsyncIterator, Iterator
from contextvars import copy_context

import anyio
import pytest

from loophound import offload
from loophound.offloading import OffloadError, Pools, executor_of
from tests.offloading import functions
from tests.offloading.functions import Shop, request_id

pytestmark = pytest.mark.anyio


def test_plain_synchronous_code_just_runs_it() -> None:
    assert functions.in_thread(1, more=2) == (3, threading.get_ident())
    assert functions.in_process(1) == (2, os.getpid())
    assert Shop("a").greet("b") == ("a: b", os.getpid())


async def test_a_coroutine_awaits_it_in_a_thread(use: Pools) -> None:
    value, thread = await functions.in_thread(1, more=2)
    assert value == 3
    assert thread != threading.get_ident()


async def test_context_variables_go_along(use: Pools) -> None:
    request_id.set("r1")
    assert await functions.read_context() == "r1"


async def test_an_unmarked_function(use: Pools) -> None:
    value, process = await offload(functions.unmarked, executor="process")(5)
    assert (value, process != os.getpid()) == (5, True)


async def test_methods_and_static_methods(use: Pools) -> None:
    greeting, process = await Shop("a").greet("b")
    assert (greeting, process != os.getpid()) == ("a: b", True)
    assert await Shop.twice(4) == 8
    assert await Shop.thrice(4) == 12
    assert await Shop.kind() == "Shop"


async def test_under_another_decorator(use: Pools) -> None:
    assert await functions.decorated_again(3) == 3


async def test_callables_that_are_not_functions(use: Pools) -> None:
    assert await offload(functools.partial(int, base=2))("101") == 5
    assert await offload("abc".upper, executor="process")() == "ABC"


async def test_an_exception_keeps_its_traceback(use: Pools) -> None:
    def inner() -> None:
        raise KeyError("gone")

    with pytest.raises(KeyError) as caught:
        await offload(inner)()
    assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "inner"


async def test_a_stop_iteration_does_not_hang(use: Pools) -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        await offload(next)(iter(()))


def test_it_looks_like_the_function() -> None:
    assert functions.in_thread.__name__ == "in_thread"
    assert functions.in_thread.__doc__ == "Where it ran."
    assert list(inspect.signature(functions.in_thread).parameters) == ["value", "more"]
    assert executor_of(functions.in_process) == "process"
    assert executor_of(Shop.greet) == "process"
    assert executor_of(functions.unmarked) is None


async def coroutine() -> None: ...


async def asynchronous_generator() -> AsyncIterator[int]:
    yield 1


def generator() -> Iterator[int]:
    yield 1


class Awaited:
    async def __call__(self) -> None: ...


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (coroutine, r"test_mark\.coroutine is asynchronous"),
        (asynchronous_generator, "asynchronous"),
        (functools.partial(coroutine), "asynchronous"),
        (Awaited(), "asynchronous"),
        (generator, "generator function"),
        (7, r"got int 7; write offload\(f\)\(x\)"),
    ],
)
def test_what_cannot_be_offloaded(wrong: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        offload(wrong)  # type: ignore[call-overload]


def test_what_is_no_executor() -> None:
    with pytest.raises(TypeError, match="not 3"):
        offload(executor=3)  # type: ignore[call-overload]


async def test_an_unknown_name(use: Pools) -> None:
    with pytest.raises(OffloadError, match=r"no executor 'gpu'.*there are thread, process, interpreter"):
        await offload(functions.unmarked, executor="gpu")(1)


async def test_many_at_once(use: Pools) -> None:
    functions.passing.set()
    results: list[int] = []

    async def one(value: int) -> None:
        results.append((await functions.in_thread(value))[0])

    async with anyio.create_task_group() as group:
        for value in range(3):
            group.start_soon(one, value)
    assert sorted(results) == [0, 1, 2]


def test_one_mark_serves_loop_after_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    pools = Pools(threads=1)
    monkeypatch.setattr("loophound.offloading.pools._default", pools)

    async def main() -> int:
        return (await functions.in_thread(1))[0]

    assert [asyncio.run(main()), asyncio.run(main())] == [1, 1]
    asyncio.run(pools.close(5))


def test_the_callers_context_is_not_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    pools = Pools(threads=1)
    monkeypatch.setattr("loophound.offloading.pools._default", pools)

    async def main() -> None:
        request_id.set("outer")
        await offload(request_id.set)("inner")
        assert request_id.get() == "outer"
        await pools.close(5)

    copy_context().run(asyncio.run, main())


def test_an_executors_name_is_no_function() -> None:
    with pytest.raises(TypeError, match=r"write offload\(executor='process'\)"):
        offload("process")  # type: ignore[call-overload]

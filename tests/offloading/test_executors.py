"""Any executor of PEP 3148, by name or as an object."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import pytest

from loophound import offload, register_executor
from loophound.offloading import OffloadError, OffloadPicklingError, OffloadTimeoutError, Pools
from tests.offloading import functions

pytestmark = pytest.mark.anyio


@pytest.fixture
def processes() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        yield executor


class Idle(Executor):
    """Takes calls and never runs them."""

    def __init__(self) -> None:
        self.futures: list[Future[Any]] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.futures.append(Future())
        return self.futures[-1]


async def test_a_thread_pool_by_name_has_the_context(use: Pools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loophound.offloading.pools._registered", {})
    functions.request_id.set("r2")
    with ThreadPoolExecutor(1, thread_name_prefix="mine") as executor:
        register_executor("mine", executor)
        assert await offload(functions.request_id.get, executor="mine")() == "r2"
        assert (await offload(threading.current_thread, executor="mine")()).name.startswith("mine")
    assert use.metrics["mine"].calls == 2
    with pytest.raises(OffloadError, match="the executor mine does not take it: cannot schedule new futures"):
        await offload(functions.unmarked, executor="mine")(1)


async def test_a_process_pool_finds_marked_functions(use: Pools, processes: ProcessPoolExecutor) -> None:
    value, pid = await offload(functions.in_process.__wrapped__, executor=processes)(1)  # type: ignore[attr-defined]
    assert (value, pid != os.getpid()) == (2, True)


async def test_a_process_pool_and_its_faults(use: Pools, processes: ProcessPoolExecutor) -> None:
    with pytest.raises(OffloadPicklingError, match=r"argument value \(lock\)"):
        await offload(functions.unmarked, executor=processes)(threading.Lock())  # type: ignore[arg-type]
    with pytest.raises(ZeroDivisionError):
        await offload(divmod, executor=processes)(1, 0)
    with pytest.raises(OffloadError, match="the executor ProcessPoolExecutor broke"):
        await offload(signal.raise_signal, executor=processes)(signal.SIGKILL)


async def test_a_call_over_the_limit_is_cancelled_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loophound.offloading.pools._default", Pools(time_limit_s=0.01))
    executor = Idle()
    with pytest.raises(OffloadTimeoutError):
        await offload(functions.unmarked, executor=executor)(1)
    assert executor.futures[0].cancelled()


async def test_an_executor_that_gives_the_call_up(use: Pools) -> None:
    class Gone(Idle):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            future = super().submit(fn)
            future.cancel()
            return future

    with pytest.raises(OffloadError, match="the executor Gone gave the call up"):
        await offload(functions.unmarked, executor=Gone())(1)


def test_names_that_are_taken() -> None:
    with pytest.raises(ValueError, match="built-in"):
        register_executor("thread", ThreadPoolExecutor(1))
    with pytest.raises(TypeError, match="int has not"):
        register_executor("three", 3)  # type: ignore[arg-type]

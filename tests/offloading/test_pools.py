"""Limits, cancellation, faults and the shutdown of threads."""

from __future__ import annotations

import threading

import anyio
import pytest

from loophound import offload
from loophound.offloading import OffloadError, OffloadQueueFullError, OffloadTimeoutError, Pools, current_metrics
from tests.offloading import functions

pytestmark = pytest.mark.anyio


async def until(pools: Pools, executor: str, **counts: int) -> None:
    with anyio.fail_after(30):
        while {name: getattr(pools.metrics[executor], name) for name in counts} != counts:
            await anyio.sleep(0.001)


async def test_a_full_queue_refuses(use: Pools) -> None:
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(functions.hold)
        await until(use, "thread", in_flight=2, waiting=1)
        with pytest.raises(OffloadQueueFullError, match="all 2 thread workers are busy and 1 calls wait"):
            await functions.hold()
        functions.passing.set()
    counts = use.metrics["thread"]
    assert (counts.calls, counts.rejected, counts.in_flight, counts.waiting) == (3, 1, 0, 0)
    assert counts.queue_wait_s >= counts.queue_wait_max_s > 0
    assert counts.run_s >= counts.run_max_s > 0


async def test_a_cancelled_call_in_the_queue_never_runs(use: Pools) -> None:
    ran: list[int] = []
    async with anyio.create_task_group() as holders:
        holders.start_soon(functions.hold)
        holders.start_soon(functions.hold)
        await until(use, "thread", in_flight=2)
        async with anyio.create_task_group() as group:
            group.start_soon(offload(ran.append), 1)
            await until(use, "thread", waiting=1)
            group.cancel_scope.cancel()
        assert use.metrics["thread"].waiting == 0
        functions.passing.set()
    assert (use.metrics["thread"].cancelled, use.metrics["thread"].abandoned, ran) == (1, 0, [])


async def test_a_cancelled_thread_is_abandoned_and_said(use: Pools, caplog: pytest.LogCaptureFixture) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(functions.hold)
        await until(use, "thread", in_flight=1)
        group.cancel_scope.cancel()
    assert "abandoned tests.offloading.functions.hold on the thread executor: its caller was cancelled" in caplog.text
    # The thread runs on and keeps its place, so that the limit holds.
    assert (use.metrics["thread"].in_flight, use.metrics["thread"].abandoned) == (1, 1)
    functions.passing.set()
    await until(use, "thread", in_flight=0)


async def test_a_function_that_never_returns_meets_the_time_limit(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pools = Pools(threads=1, time_limit_s=0.05)
    monkeypatch.setattr("loophound.offloading.pools._default", pools)
    with pytest.raises(OffloadTimeoutError, match=r"hold: no result within 0.05 s"):
        await functions.hold()
    with pytest.raises(TimeoutError):  # it waits for the thread that never comes
        await functions.in_thread(1)
    assert "it is over the time limit; its thread runs on" in caplog.text
    assert (pools.metrics["thread"].timed_out, pools.metrics["thread"].abandoned) == (2, 1)
    functions.passing.set()
    await pools.close(5)


async def test_close_waits_for_what_runs(use: Pools) -> None:
    results: list[str] = []

    async def call() -> None:
        results.append(await functions.hold())

    async with anyio.create_task_group() as group:
        group.start_soon(call)
        await until(use, "thread", in_flight=1)
        threading.Timer(0.05, functions.passing.set).start()
        assert await use.close(30) == []
    assert results == ["none"]


async def test_close_says_what_it_abandons(use: Pools, caplog: pytest.LogCaptureFixture) -> None:
    errors: list[str] = []

    async def call() -> None:
        with pytest.raises(OffloadError) as caught:
            await functions.hold()
        errors.append(str(caught.value))

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(call)
        await until(use, "thread", in_flight=2, waiting=1)
        assert await use.close(0.0) == ["tests.offloading.functions.hold"] * 2
    assert sum("abandoned at shutdown" in error for error in errors) == 2
    assert sum("not started" in error for error in errors) == 1
    assert caplog.text.count("shutdown: abandoned tests.offloading.functions.hold on the thread executor") == 2
    functions.passing.set()
    assert (await functions.in_thread(1))[0] == 1  # opened again


async def test_metrics_are_numbers(use: Pools) -> None:
    await functions.in_thread(1)
    snapshot = current_metrics().to_dict()
    assert snapshot["thread"]["calls"] == 1
    assert {"queue_wait_s", "run_s", "pickling_s", "in_flight", "rejected"} <= set(snapshot["thread"])


@pytest.mark.parametrize("wrong", [{"threads": 0}, {"processes": 0}, {"queue": -1}, {"time_limit_s": 0}])
def test_limits_that_cannot_be_right(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"at least 1|above 0"):
        Pools(**wrong)


async def test_a_worker_that_cannot_be_made_fails_its_call(use: Pools, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("loophound.offloading.process.Pipe", refuse)
    with pytest.raises(OSError, match="Too many open files"):
        await functions.in_process(1)


async def test_a_system_without_threads_fails_the_call(use: Pools, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(OffloadError, match="hold: can't start new thread"):
            await functions.hold()
    assert use.metrics["thread"].waiting == 0
    assert (await functions.in_thread(1))[0] == 1

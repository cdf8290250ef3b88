from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import anyio.to_thread
import pytest
import uvloop

from loophound.detector.adapters.executors import executors
from loophound.offloading.metrics import OffloadMetrics


def test_the_executors_of_offload_are_told() -> None:
    metrics = OffloadMetrics()
    counts = metrics["thread"]
    counts.add(calls=4, waiting=1, in_flight=1, rejected=2)
    for waited_s, ran_s in ((0.1, 1.0), (0.4, 2.0)):
        counts.waited(waited_s)
        counts.ran(ran_s)
    [entry] = [entry for entry in executors([]) if entry["rejected"] == 2]
    assert (entry["name"], entry["kind"], entry["queued"], entry["running"]) == ("thread", "thread", 1, 1)
    assert (entry["wait_mean_s"], entry["run_mean_s"]) == (0.25, 1.5)
    assert entry["wait_p50_s"] == pytest.approx(0.1, rel=0.26)
    assert (entry["wait_p99_s"], entry["wait_max_s"], entry["run_p99_s"], entry["run_max_s"]) == (0.4, 0.4, 2.0, 2.0)
    assert entry["run_p50_s"] == pytest.approx(1.0, rel=0.26)
    del metrics, counts
    assert [entry for entry in executors([]) if entry["rejected"] == 2] == []


def test_a_thread_pool_is_told_by_the_name_of_its_threads() -> None:
    end = threading.Event()
    with ThreadPoolExecutor(1, "shop_pool") as pool:
        begun = threading.Event()
        calls = [pool.submit(lambda: (begun.set(), end.wait())) for _ in range(3)]
        begun.wait()
        assert told("shop_pool") == ("thread", 2, 1)
        end.set()
        calls[-1].result()


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_the_threads_in_which_frameworks_run_what_blocks(loop_factory: object) -> None:
    async def main() -> None:
        loop, begun, end = asyncio.get_running_loop(), threading.Event(), threading.Event()
        assert not [entry for entry in executors([loop]) if entry["name"] == "anyio"]
        limiter = anyio.to_thread.current_default_thread_limiter()
        limiter.total_tokens = 1
        calls = [asyncio.create_task(anyio.to_thread.run_sync(lambda: (begun.set(), end.wait()))) for _ in range(2)]
        while limiter.statistics().tasks_waiting < 1 or not begun.is_set():
            await asyncio.sleep(0.01)
        assert told("anyio", loop) == ("thread", 1, 1)
        end.set()
        await asyncio.gather(*calls)

    with asyncio.Runner(loop_factory=loop_factory) as runner:  # type: ignore[arg-type]
        runner.run(main())


def test_the_loops_own_executor_is_told() -> None:
    async def main() -> None:
        begun, end = threading.Event(), threading.Event()
        call = asyncio.create_task(asyncio.to_thread(lambda: (begun.set(), end.wait())))
        await asyncio.sleep(0)
        begun.wait()
        assert told("asyncio") == ("thread", 0, 1)
        end.set()
        await call

    asyncio.run(main())


def told(name: str, *loops: asyncio.AbstractEventLoop) -> tuple[str, int, int]:
    [entry] = [entry for entry in executors([*loops]) if entry["name"] == name]
    assert entry["calls"] is None
    return entry["kind"], entry["queued"], entry["running"]

from __future__ import annotations

import asyncio
import threading

from loophound.detector.adapters.executors import executors
from loophound.offloading.metrics import OffloadMetrics


def test_the_executors_of_offload_are_told() -> None:
    metrics = OffloadMetrics()
    metrics["thread"].add(calls=4, waiting=1, in_flight=1, rejected=2, queue_wait_s=0.5, run_s=3.0)
    [entry] = [entry for entry in executors([]) if entry["rejected"] == 2]
    assert (entry["name"], entry["kind"], entry["queued"], entry["running"]) == ("thread", "thread", 1, 1)
    assert (entry["wait_mean_s"], entry["run_mean_s"]) == (0.25, 1.5)
    del metrics
    assert [entry for entry in executors([]) if entry["rejected"] == 2] == []


def test_the_loops_own_executor_is_told() -> None:
    async def main() -> None:
        loop, begun, end = asyncio.get_running_loop(), threading.Event(), threading.Event()
        assert executors([loop]) == [] or all(entry["name"] != "asyncio" for entry in executors([loop]))
        call = asyncio.create_task(asyncio.to_thread(lambda: (begun.set(), end.wait())))
        await asyncio.sleep(0)
        begun.wait()
        [entry] = [entry for entry in executors([loop]) if entry["name"] == "asyncio"]
        assert (entry["kind"], entry["queued"], entry["running"]) == ("thread", 0, 1)
        end.set()
        await call

    asyncio.run(main())

"""A real Dask cluster of two worker processes, where `distributed` is installed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import anyio.to_thread
import pytest

from loophound import offload
from loophound.offloading import OffloadError, OffloadPicklingError, Pools
from tests.offloading import functions

pytestmark = [pytest.mark.anyio, pytest.mark.once, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def client() -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.mark.parametrize("anyio_backend", [pytest.param(("asyncio", {}), id="asyncio")])
async def test_the_same_mark_runs_on_dask(use: Pools, client: Any) -> None:
    on_dask = offload(functions.unmarked, executor=client.get_executor())
    value, pid = await on_dask(3)
    assert (value, pid != os.getpid()) == (3, True)
    with pytest.raises(OffloadPicklingError, match="argument value"):
        await on_dask(functions.passing)  # type: ignore[arg-type]
    with pytest.raises(ZeroDivisionError):
        await offload(divmod, executor=client.get_executor())(1, 0)
    client.cluster.close()
    with pytest.raises((OffloadError, OSError)):
        await on_dask(4)


@contextmanager
def program(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-m", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("anyio_backend", [pytest.param(("asyncio", {}), id="asyncio")])
async def test_a_scheduler_that_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    common = ("--no-dashboard",)
    with (
        program("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port), *common) as scheduler,
        program("distributed.cli.dask_worker", address, "--nthreads", "1", *common),
    ):
        client = await anyio.to_thread.run_sync(lambda: distributed.Client(address, timeout="60s"))
        try:
            sleep = offload(time.sleep, executor=client.get_executor())
            await sleep(0)
            async with anyio.create_task_group() as group:
                group.start_soon(_kill_soon, scheduler)
                with pytest.raises(OffloadError, match=r"time.sleep: the executor ClientExecutor gave the call up"):
                    await sleep(600)
            monkeypatch.setattr("loophound.offloading.outside.PATIENCE_S", 2)
            with pytest.raises(OffloadError, match=r"ClientExecutor (has found no scheduler for 2 s|does not take it)"):
                await sleep(0)  # nobody is there, and there is no time limit
            monkeypatch.setattr("loophound.offloading.pools._default", Pools(time_limit_s=0.5))
            with pytest.raises(OffloadError):
                await sleep(0)
        finally:
            await anyio.to_thread.run_sync(lambda: client.close(timeout=1))


async def _kill_soon(scheduler: subprocess.Popen[bytes]) -> None:
    await anyio.sleep(1)
    scheduler.kill()

"""A real Dask cluster of two worker processes, where `distributed` is installed."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from typing import Any

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

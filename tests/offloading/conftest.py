from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from loophound.offloading import Pools
from tests.offloading import functions
from tests.offloading.leftovers import nothing_left


@pytest.fixture(
    params=[
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
        pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
        pytest.param(("trio", {}), id="trio"),
    ]
)
def anyio_backend(request: pytest.FixtureRequest) -> object:
    if request.param[0] == "trio":
        pytest.importorskip("trio")
    return request.param


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    functions.passing.clear()
    with nothing_left():
        yield
        functions.passing.set()


@pytest.fixture
async def pools(anyio_backend: object) -> AsyncIterator[Pools]:
    """Two of each, one more may wait; closed after the test."""
    pools = Pools(threads=2, processes=2, queue=1)
    yield pools
    functions.passing.set()
    await pools.close(5)


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch, pools: Pools) -> Pools:
    """The pools of the process, as functions find them without a middleware."""
    monkeypatch.setattr("loophound.offloading.pools._default", pools)
    return pools

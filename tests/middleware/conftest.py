from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.offloading import functions
from tests.offloading.leftovers import nothing_left


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return ("asyncio", {"use_uvloop": request.param == "uvloop"})


@pytest.fixture
def passing() -> Iterator[None]:
    """The event that functions.hold() waits for, clear; and nothing may be left after the test."""
    functions.passing.clear()
    with nothing_left():
        yield
        functions.passing.set()

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.server.wire import Running, start


@pytest.fixture(params=["asyncio", "uvloop"])
def serve(request: pytest.FixtureRequest) -> Iterator[Callable[..., Running]]:
    """Start servers on either loop; they are stopped after the test."""
    running: list[Running] = []

    def serve_app(app: Any, **options: Any) -> Running:
        running.append(start(app, request.param, **options))
        return running[-1]

    yield serve_app
    for server in running:
        server.stop()

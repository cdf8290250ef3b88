from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.supervisor.running import Supervised


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Callable[..., Supervised]]:
    """Start a supervisor; whatever it leaves behind is ended."""
    started: list[Supervised] = []

    def start(*options: str, **settings: str) -> Supervised:
        started.append(Supervised(tmp_path, *options, **settings))
        return started[-1]

    yield start
    for each in started:
        each.close()

"""Every case, on both loops; each must get this project's own answer."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.conformance.app import app
from tests.conformance.case import Case, judge
from tests.conformance.cases import ALL
from tests.conformance.play import play
from tests.server.wire import PATIENCE_S, Running, start


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def address(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    running: Running = start(app, request.param, log_level="critical")
    yield "127.0.0.1", running.port
    running.stop()
    logging.getLogger("loophound").setLevel(logging.NOTSET)


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_case(case: Case, address: tuple[str, int]) -> None:
    assert judge(case, play(case, address, PATIENCE_S), strict=True) == ""


def test_names_are_unique() -> None:
    assert len({case.name for case in ALL}) == len(ALL)

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import httpx
import pytest

from tests.frameworks.serving import Served, needed, serving

# The extra `frameworks` is installed where these tests are to run, which is on one Python.
collect_ignore_glob = (
    [] if find_spec("strawberry") and find_spec("socketio") and find_spec("sse_starlette") else ["test_*"]
)
FRAMEWORKS = ("starlette", "fastapi", "litestar", "quart", "django")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What frameworks do with the server does not depend on the version of Python."""
    for item in items:
        if "frameworks" in item.nodeid.split("/"):
            item.add_marker(pytest.mark.once)


@pytest.fixture(scope="module", params=FRAMEWORKS)
def shop(request: pytest.FixtureRequest) -> Iterator[Served]:
    """The same small application, written with each framework."""
    needed(request.param)
    with serving(f"tests.frameworks.apps.with_{request.param}:app") as served:
        served.framework = request.param  # type: ignore[attr-defined]
        yield served
        # It ends as it should, with a stream open.
        with httpx.stream("GET", f"{served.url}/stream", params={"count": 10**9}) as answer:
            next(answer.iter_bytes())
            assert served.stop() == 0


@pytest.fixture(scope="module")
def starlette() -> Iterator[Served]:
    with serving("tests.frameworks.apps.with_starlette:app") as served:
        yield served

"""Lifespan, refusals and metrics of OffloadMiddleware; its side loops are in test_side_loop.py."""

from __future__ import annotations

import asyncio
import logging
import warnings
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from loophound import OffloadMiddleware, OffloadTimeoutError
from loophound.offloading import OffloadQueueFullError, current_metrics
from tests.middleware.asgi import Exchange, respond
from tests.offloading import functions
from tests.offloading.leftovers import workers

with warnings.catch_warnings():  # which client it has below is no concern of these tests
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("passing")]


async def hold(scope: Any, receive: Any, send: Any) -> None:
    await respond(send, (await functions.hold()).encode())


async def full(middleware: OffloadMiddleware, group: anyio.abc.TaskGroup) -> None:
    """One call runs and none may wait."""
    group.start_soon(Exchange().run, middleware)
    with anyio.fail_after(30):
        while not middleware.metrics["thread"].in_flight:
            await anyio.sleep(0.001)


@pytest.fixture
async def one(anyio_backend: object) -> Any:
    """A middleware with a single thread and no queue around an application that holds it."""
    middleware = OffloadMiddleware(hold, threads=1, queue=0, retry_after_s=7)
    yield middleware
    await middleware.aclose()


async def test_a_full_queue_is_answered_503(
    one: OffloadMiddleware, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A server that ran in this process before has set up the logger for itself.
    monkeypatch.setattr(logging.getLogger("loophound"), "propagate", True)
    caplog.set_level(logging.INFO, "loophound")
    async with anyio.create_task_group() as group:
        await full(one, group)
        refused = await Exchange().run(one)
        functions.passing.set()
    assert (refused.status, refused.headers[b"retry-after"], refused.body) == (503, b"7", b"Service Unavailable")
    assert one.metrics["thread"].rejected == 1
    assert "refused with 503" in caplog.text


async def test_the_500_of_a_framework_is_replaced(one: OffloadMiddleware) -> None:
    async def endpoint(request: Request) -> JSONResponse:
        return JSONResponse(await functions.hold())

    async with anyio.create_task_group() as group:
        await full(one, group)
        one.app = Starlette(routes=[Route("/", endpoint)])
        refused = await Exchange().run(one)
        functions.passing.set()
    assert [message["type"] for message in refused.sent] == ["http.response.start", "http.response.body"]
    assert refused.status == 503


async def test_an_application_may_answer_a_refusal_itself(one: OffloadMiddleware) -> None:
    async def later(scope: Any, receive: Any, send: Any) -> None:
        try:
            await functions.hold()
        except OffloadQueueFullError:
            await respond(send, b"later")

    async with anyio.create_task_group() as group:
        await full(one, group)
        one.app = later
        assert (await Exchange().run(one)).body == b"later"
        functions.passing.set()


async def test_once_the_response_has_started_the_error_passes(one: OffloadMiddleware) -> None:
    async def late(scope: Any, receive: Any, send: Any) -> None:
        await respond(send, b"part", more=True)
        await functions.hold()

    async with anyio.create_task_group() as group:
        await full(one, group)
        one.app = late
        with pytest.raises(OffloadQueueFullError):
            await Exchange().run(one)
        functions.passing.set()


async def test_a_refused_websocket_is_closed(one: OffloadMiddleware) -> None:
    async with anyio.create_task_group() as group:
        await full(one, group)
        refused = await Exchange(kind="websocket").run(one)
        functions.passing.set()
    assert refused.sent == [{"type": "websocket.close", "code": 1013, "reason": "busy"}]


async def test_the_time_limit() -> None:
    middleware = OffloadMiddleware(hold, time_limit_s=0.02)
    with pytest.raises(OffloadTimeoutError):
        await Exchange().run(middleware)
    functions.passing.set()
    await middleware.aclose()


def test_the_lifespan_closes_the_executors() -> None:
    async def endpoint(request: Request) -> JSONResponse:
        value, _ = await functions.in_process(1)
        return JSONResponse([value, current_metrics().to_dict()["process"]["calls"]])

    app = Starlette(routes=[Route("/", endpoint)])
    middleware = OffloadMiddleware(app, processes=1)
    for calls in (1, 2):  # open again in the next lifespan
        with TestClient(middleware) as client:
            assert client.get("/").json() == [2, calls]
            assert len(workers()) == 1
        assert workers() == []


def test_starlettes_own_way_to_add_it() -> None:
    async def endpoint(request: Request) -> JSONResponse:
        return JSONResponse((await functions.in_thread(1))[0])

    app = Starlette(routes=[Route("/", endpoint)])
    app.add_middleware(OffloadMiddleware, threads=1)
    with TestClient(app) as client:
        assert client.get("/").json() == 1


async def lifespan(middleware: OffloadMiddleware) -> list[str]:
    exchange = Exchange(kind="lifespan")
    for event in ("lifespan.startup", "lifespan.shutdown"):
        exchange.arrives.put_nowait({"type": event})
    return [message["type"] for message in (await exchange.run(middleware)).sent]


async def test_an_application_without_lifespan() -> None:
    async def silent(scope: Any, receive: Any, send: Any) -> None:
        return None

    async def loud(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"

    for app in (silent, loud):
        middleware = OffloadMiddleware(app)
        assert await lifespan(middleware) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_an_application_that_fails_to_start() -> None:
    async def failing(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        raise RuntimeError("no database")

    with pytest.raises(RuntimeError, match="no database"):
        await lifespan(OffloadMiddleware(failing))


async def test_work_in_flight_ends_before_the_server_hears_of_the_shutdown() -> None:
    order: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await functions.hold()
            order.append("work")
            return
        for reply in ("lifespan.startup.complete", "lifespan.shutdown.complete"):
            await receive()
            await send({"type": reply})

    middleware = OffloadMiddleware(app, grace_s=30)
    async with anyio.create_task_group() as group:
        await full(middleware, group)
        asyncio.get_running_loop().call_later(0.05, functions.passing.set)
        order += await lifespan(middleware)
    assert order[0] == "work" or order == [*order[:2], "work"]
    assert middleware.metrics["thread"].abandoned == 0


@pytest.mark.parametrize("wrong", [{"threads": 0}, {"grace_s": -1}, {"retry_after_s": -1}])
def test_limits_that_cannot_be_right(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"at least|or more"):
        OffloadMiddleware(hold, **wrong)

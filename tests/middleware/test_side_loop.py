"""Routes under a rule: another loop, another thread, the same request."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar
from typing import Any

import anyio
import pytest

from loophound import OffloadMiddleware, OffloadTimeoutError
from tests.middleware.asgi import Exchange, respond
from tests.offloading import functions

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("passing")]
user: ContextVar[str] = ContextVar("user")


class Case:
    """A middleware with the application under test behind the rule "/side"."""

    def __init__(self) -> None:
        self.middleware: OffloadMiddleware | None = None

    def __call__(self, app: Any, **options: Any) -> OffloadMiddleware:
        self.middleware = OffloadMiddleware(app, **{"threads": 2, "queue": 0, "rules": ["/side"], **options})
        return self.middleware


@pytest.fixture
async def side(anyio_backend: object) -> Any:
    case = Case()
    yield case
    functions.passing.set()
    assert case.middleware is not None
    await case.middleware.aclose()


async def test_it_runs_on_another_loop_in_another_thread(side: Case) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((threading.get_ident(), asyncio.get_running_loop()))
        await asyncio.sleep(0)
        await respond(send, b"ok")

    middleware = side(app)
    assert (await Exchange("/side").run(middleware)).body == b"ok"
    await Exchange("/").run(middleware)
    here = (threading.get_ident(), asyncio.get_running_loop())
    assert seen[0][0] != here[0]
    assert seen[0][1] is not here[1]
    assert seen[1] == here
    assert seen[0][1].may_block  # where it is no stall


async def test_receive_and_send_run_on_the_main_loop(side: Case) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await respond(send, b"ok")

    threads: set[int] = set()

    async def receive() -> dict[str, Any]:
        threads.add(threading.get_ident())
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        threads.add(threading.get_ident())

    await side(app)(Exchange("/side").scope, receive, send)
    assert threads == {threading.get_ident()}


async def test_blocking_code_does_not_stop_the_main_loop(side: Case) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert functions.passing.wait(30)  # only the main loop can set it
        await respond(send, b"ok")

    asyncio.get_running_loop().call_later(0.01, functions.passing.set)
    assert (await Exchange("/side").run(side(app))).body == b"ok"


async def test_a_streamed_body_both_ways_keeps_its_order_and_its_pace(side: Case) -> None:
    async def echo(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        more = True
        while more:
            message = await receive()
            more = message["more_body"]
            await send({"type": "http.response.body", "body": message["body"], "more_body": more})

    exchange = Exchange("/side")
    gate = asyncio.Semaphore(0)

    async def slow_send(message: Any) -> None:
        await gate.acquire()
        exchange.sent.append(message)

    async with anyio.create_task_group() as group:
        for part in range(5):
            exchange.arrives.put_nowait({"type": "http.request", "body": b"%d" % part, "more_body": part < 4})
        group.start_soon(side(echo), exchange.scope, exchange.arrives.get, slow_send)
        with anyio.fail_after(30):
            for turn in range(6):
                await anyio.sleep(0.01)
                # The application waits in send(): it has not asked for the part after this one.
                assert len(exchange.sent) == turn
                assert exchange.arrives.qsize() >= 5 - turn
                gate.release()
    assert exchange.body == b"01234"


async def test_a_disconnect_reaches_the_application(side: Case) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        await respond(send, message["type"].encode())

    exchange = Exchange("/side")
    asyncio.get_running_loop().call_later(0.01, exchange.arrives.put_nowait, {"type": "http.disconnect"})
    assert (await exchange.run(side(app))).body == b"http.disconnect"


async def test_context_variables_go_there_and_come_back(side: Case) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await respond(send, user.get().encode())
        user.set("changed")

    user.set("outer")
    assert (await Exchange("/side").run(side(app))).body == b"outer"
    assert user.get() == "changed"


async def test_an_exception_passes_with_its_traceback(side: Case) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise LookupError("no such item")

    with pytest.raises(LookupError, match="no such item") as caught:
        await Exchange("/side").run(side(app))
    assert caught.traceback[-1].name == "app"


async def test_an_exception_of_send_reaches_the_application(side: Case) -> None:
    seen: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await respond(send, b"")
        except OSError as error:
            seen.append(error)

    async def gone(message: Any) -> None:
        raise OSError("client is gone")

    await side(app)(Exchange("/side").scope, Exchange().arrives.get, gone)
    assert str(seen[0]) == "client is gone"


async def test_cancelling_the_request_cancels_its_task(side: Case) -> None:
    ended, started = threading.Event(), asyncio.Event()
    main = asyncio.get_running_loop()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        main.call_soon_threadsafe(started.set)
        try:
            await asyncio.sleep(600)
        finally:
            ended.set()

    task = asyncio.create_task(Exchange("/side").run(side(app)))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await anyio.to_thread.run_sync(ended.wait, 30)


async def test_a_full_house_is_answered_503(side: Case) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert functions.passing.wait(30)
        await respond(send, b"ok")

    middleware = side(app)
    async with anyio.create_task_group() as group:
        group.start_soon(Exchange("/side").run, middleware)
        group.start_soon(Exchange("/side").run, middleware)
        with anyio.fail_after(30):
            while middleware.metrics["route"].in_flight < 2:
                await anyio.sleep(0.001)
        assert (await Exchange("/side").run(middleware)).status == 503
        functions.passing.set()


async def test_over_the_time_limit_it_can_no_longer_answer(side: Case) -> None:
    outcome: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        functions.passing.wait(30)  # deaf to its cancellation
        try:
            await respond(send, b"too late")
        except BaseException as error:
            outcome.append(type(error).__name__)
            raise

    exchange, middleware = Exchange("/side"), side(app, time_limit_s=0.02)
    with pytest.raises(OffloadTimeoutError, match="/side: no result within"):
        await exchange.run(middleware)
    functions.passing.set()
    await middleware.aclose()
    assert exchange.sent == []
    assert outcome in (["CancelledError"], ["OSError"])


async def test_a_stream_outlives_the_time_limit(side: Case) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await respond(send, b"a", more=True)
        await asyncio.sleep(0.6)
        await send({"type": "http.response.body", "body": b"b"})

    assert (await Exchange("/side").run(side(app, time_limit_s=0.5))).body == b"ab"


async def test_marked_functions_and_left_tasks_work_there(side: Case) -> None:
    done: list[int] = []

    async def later() -> None:
        await asyncio.sleep(0.01)
        done.append((await functions.in_thread(3))[0])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        left = asyncio.create_task(later())
        await respond(send, b"%d" % (await functions.in_thread(2))[0])
        assert not left.done()

    middleware = side(app, threads=1, queue=5)
    assert (await Exchange("/side").run(middleware)).body == b"2"
    assert done == [3]
    assert middleware.metrics["thread"].calls == 2
    assert middleware.metrics["route"].calls == 1

"""From a task back to its request, as an observer asks."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
import threading
import time
from typing import Any

import pytest

from loophound.detector.adapters.work import work_of
from tests.server import apps
from tests.server.wire import wait_until

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable")


class Ignorant:
    """Hooks that do nothing, but being there."""

    def loop_starting(self, loop: Any) -> None: ...
    def loop_started(self, loop: Any, served: Any) -> None: ...
    def loop_stopping(self, loop: Any) -> None: ...


def path_of(task: asyncio.Task[Any] | None) -> str | None:
    """The request that an observer would name."""
    assert task is not None
    request = work_of(task).request
    return request.path if request else None


async def named(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the request that an observer finds for its own task."""
    assert scope["type"] == "http"
    await apps.respond(send, str(path_of(asyncio.current_task())).encode())


async def named_by_child(scope: Any, receive: Any, send: Any) -> None:
    """The same for a task that the application starts; `/numbered` leaves it to asyncio to name it."""
    assert scope["type"] == "http"

    async def child() -> str | None:
        return path_of(asyncio.current_task())

    name = None if scope["path"].startswith("/numbered") else "child"
    await apps.respond(send, str(await asyncio.create_task(child(), name=name)).encode())


def test_the_task_of_a_request(serve: Any) -> None:
    client = serve(named, hooks=Ignorant()).connect()
    assert [client.get(path).response().body for path in (b"/one", b"/two")] == [b"/one", b"/two"]
    assert client.get(b"/three").get(b"/four").response().body == b"/three"
    assert client.response().body == b"/four"


@pytest.mark.parametrize("kind", ["numbered", "given"])
def test_a_task_that_a_request_started(serve: Any, kind: str) -> None:
    client = serve(named_by_child, hooks=Ignorant()).connect()
    for number in range(3):
        path = f"/{kind}/{number}".encode()
        assert client.get(path).response().body == path


def test_a_task_that_outlives_its_request_is_not_taken_for_the_next_ones(serve: Any) -> None:
    found: list[str | None] = []
    go, done = threading.Event(), threading.Event()

    async def child() -> None:
        while not go.is_set():
            await asyncio.sleep(0.01)
        found.append(path_of(asyncio.current_task()))
        done.set()

    kept = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        if scope["path"] == "/first":
            kept.append(asyncio.create_task(child()))
        else:
            go.set()
            while not done.is_set():
                await asyncio.sleep(0.01)
        await apps.respond(send)

    client = serve(app, hooks=Ignorant()).connect()
    client.get(b"/first").response()
    client.get(b"/second").response()
    assert found == [None]  # the first request is over and forgotten: better none than the wrong one


def test_once_tasks_of_its_own_are_seen_each_request_is_marked(serve: Any) -> None:
    found: list[str | None] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"

        async def child() -> None:
            await asyncio.sleep(0.05)
            found.append(path_of(asyncio.current_task()))

        task = asyncio.create_task(child(), name="child")
        task.add_done_callback(lambda _: None)
        if scope["path"] == "/0":
            await task
        await apps.respond(send)

    client = serve(app, hooks=Ignorant()).connect()
    for number in range(4):
        client.get(f"/{number}".encode()).response()
    wait_until(lambda: len(found) == 4)
    assert found == ["/0", "/1", "/2", "/3"]


@pytest.mark.parametrize("hooks", [None, Ignorant()])
def test_a_request_does_not_inherit_the_variables_of_the_one_before(serve: Any, hooks: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        before = VARIABLE.get("nothing")
        VARIABLE.set(scope["path"])
        await asyncio.sleep(0.01)
        await apps.respond(send, before.encode())

    client = serve(app, hooks=hooks).connect()
    client.get(b"/one").get(b"/two").get(b"/three")
    assert [client.response().body for _ in range(3)] == [b"nothing"] * 3


def eager(loop: Any, coroutine: Any, *, name: Any = None, context: Any = None, **_: Any) -> Any:
    """uvloop 0.23 hands over `eager_start`, which the factory of CPython 3.13.0 does not know."""
    return asyncio.eager_task_factory(loop, coroutine, name=name, context=context)  # type: ignore[attr-defined]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
@pytest.mark.parametrize("hooks", [None, Ignorant()])
def test_eager_tasks_answer_pipelined_requests(serve: Any, hooks: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            asyncio.get_running_loop().set_task_factory(eager)
        await apps.path(scope, receive, send)

    client = serve(app, hooks=hooks).connect()
    client.get(b"/one").get(b"/two").get(b"/three")
    assert [client.response().body for _ in range(3)] == [b"/one", b"/two", b"/three"]


@pytest.mark.parametrize("hooks", [None, Ignorant()])
def test_a_closed_connection_leaves_nothing_to_the_garbage_collector(serve: Any, hooks: Any) -> None:
    running = serve(apps.hello, hooks=hooks)

    def connect() -> None:
        for _ in range(20):
            client = running.connect()
            client.get().response()
            client.close()
        # The transport of asyncio lets go of the protocol a turn after it told it.
        time.sleep(0.1)

    connect()
    gc.collect()
    gc.disable()
    try:
        connect()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left = [thing for thing in gc.garbage if type(thing).__module__.startswith("loophound.server")]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert left == []

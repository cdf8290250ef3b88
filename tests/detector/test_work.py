"""From a task to its request, on each Python and each loop."""

from __future__ import annotations

import asyncio
import contextvars
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from loophound.detector.adapters.work import context_of, describe_request, find_work, work_of
from loophound.detector.records import Request, Task
from loophound.server.hooks import current_scope
from tests.detector.conftest import Runner


@dataclass(eq=False)
class Served:
    """An exchange as the server has them."""

    scope: Any
    task: asyncio.Task[Any] | None = None
    coroutine_id: int = 0
    began_ns: int = 0
    ended_ns: int = 0
    connection: object = None


def scope(**changes: Any) -> dict[str, Any]:
    return {
        "type": "http",
        "method": "POST",
        "path": "/show/7",
        "headers": [],
        "client": ("127.0.0.1", 4711),
        **changes,
    }


@pytest.mark.parametrize("where", ["own", "given"])
def test_the_context_of_a_task_is_the_one_it_runs_in(run: Runner, where: str) -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable")

    async def child() -> None:
        variable.set(7)
        await asyncio.sleep(10)

    async def main() -> None:
        context = contextvars.copy_context() if where == "given" else None
        task = asyncio.create_task(child(), context=context)
        await asyncio.sleep(0)
        found = context_of(task)
        assert found is not None
        assert found[variable] == 7
        assert context is None or found is context
        task.cancel()

    run(main())


def test_the_request_of_a_task_and_of_the_tasks_that_it_starts(run: Runner) -> None:
    async def main() -> None:
        served = scope()
        current_scope.set(served)
        task = asyncio.create_task(asyncio.sleep(10), name="inner")
        await asyncio.sleep(0)
        work = work_of(task)
        assert work.task == Task("inner", "sleep")
        assert work.request is not None
        assert (work.request.path, work.scope_id) == ("/show/7", id(served))
        task.cancel()

    run(main())


def test_a_task_without_a_request(run: Runner) -> None:
    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        work = work_of(task)
        assert (work.request, work.scope_id) == (None, 0)

    run(main())


def test_a_coroutine_seen_from_outside_is_found_among_the_exchanges_of_that_time(run: Runner) -> None:
    async def main() -> None:
        task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        before = Served(scope(path="/before"), task, 77, began_ns=100, ended_ns=200)
        now = Served(scope(path="/now"), task, 77, began_ns=300)
        later = Served(scope(path="/later"), task, 77, began_ns=900)
        for at_ns, path in ((150, "/before"), (500, "/now"), (250, None)):
            work = find_work(77, at_ns, loop, [before, now, later], search_tasks=False)
            assert (work and work.request and work.request.path) == path

    run(main())


def test_a_coroutine_seen_from_outside_is_found_among_the_tasks(run: Runner) -> None:
    async def main() -> None:
        task = asyncio.create_task(asyncio.sleep(10), name="wanted")
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        work = find_work(id(task.get_coro()), 0, loop, [])
        assert work is not None
        assert work.task is not None
        assert work.task.name == "wanted"
        assert find_work(12345, 0, loop, []) is None
        task.cancel()

    run(main())


@pytest.mark.parametrize(
    ("changes", "request_"),
    [
        ({}, Request(None, "POST", "/show/7", None, "127.0.0.1:4711")),
        ({"client": None}, Request(None, "POST", "/show/7", None, None)),
        (
            {"route": SimpleNamespace(path="/show/{id}")},
            Request(None, "POST", "/show/7", "/show/{id}", "127.0.0.1:4711"),
        ),
        ({"path_template": "/show/{n}"}, Request(None, "POST", "/show/7", "/show/{n}", "127.0.0.1:4711")),
        ({"route": SimpleNamespace(path=3)}, Request(None, "POST", "/show/7", None, "127.0.0.1:4711")),
        ({"headers": [(b"x-request-id", b"abc")]}, Request("abc", "POST", "/show/7", None, "127.0.0.1:4711")),
    ],
)
def test_requests(changes: dict[str, Any], request_: Request) -> None:
    assert describe_request(scope(**changes)) == request_


def test_a_websocket_has_no_method() -> None:
    described = scope(type="websocket")
    del described["method"]
    assert describe_request(described).method == "GET"

"""Tasks as the feed shows them, seen from another thread."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from loophound.detector.adapters.tasks import MOST_SHOWN, Tasks
from tests.detector.conftest import Runner


def is_app(file: str) -> bool:
    return file == __file__


async def waits() -> None:
    await asyncio.sleep(60)


async def handles() -> None:
    await waits()


async def taken(tasks: Tasks) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    return await asyncio.to_thread(tasks.take, loop)


def started(count: int, coroutine: Any = handles) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(coroutine(), name=f"handler-{number}") for number in range(count)]


def of_ours(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [task for task in found["shown"] if task["name"].startswith("handler")]


def test_where_a_task_waits(run: Runner) -> None:
    async def main() -> None:
        running = started(1)
        await asyncio.sleep(0)
        found = await taken(Tasks(is_app))
        [task] = of_ours(found)
        line = waits.__code__.co_firstlineno + 1
        assert (task["coro"], task["state"], task["where"]) == ("handles", "waiting", f"test_tasks.py:{line} in waits")
        assert task["age_s"] >= 0
        assert found["total"] == 2  # with this one
        del running

    run(main())


def test_with_no_line_of_the_application_the_innermost_is_told(run: Runner) -> None:
    async def main() -> None:
        running = started(1)
        await asyncio.sleep(0)
        [task] = of_ours(await taken(Tasks(lambda file: False)))
        assert task["where"].startswith("tasks.py:")
        assert task["where"].endswith(" in sleep")
        del running

    run(main())


def test_a_task_that_is_about_to_run_is_ready(run: Runner) -> None:
    async def main() -> None:
        running = started(1)
        [task] = of_ours(Tasks(is_app).take(asyncio.get_running_loop()))
        assert task["state"] == "ready"
        [current] = [t for t in Tasks(is_app).take(asyncio.get_running_loop())["shown"] if t["state"] == "running"]
        assert current["coro"] == "main"
        del running

    run(main())


def test_of_five_thousand_tasks_some_are_shown_and_they_stay(run: Runner) -> None:
    async def main() -> None:
        running = started(5000)
        await asyncio.sleep(0)
        tasks = Tasks(is_app)
        first, second = await taken(tasks), await taken(tasks)
        assert first["total"] == second["total"] == 5001
        assert len(first["shown"]) == MOST_SHOWN
        names = {task["name"] for task in first["shown"]}
        assert {task["name"] for task in second["shown"]} == names
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        assert (await taken(tasks))["total"] == 1
        assert len(tasks._seen_s) == 1

    run(main())


def test_tasks_of_another_loop_and_ended_ones_are_left_out() -> None:
    def on_a_loop(coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run(coroutine)

    async def main() -> None:
        done = asyncio.create_task(asyncio.sleep(0))
        await done
        found = await asyncio.to_thread(on_a_loop, taken_with(asyncio.get_running_loop()))
        assert [task["coro"] for task in found["shown"]] == ["main"]

    async def taken_with(loop: asyncio.AbstractEventLoop) -> dict[str, Any]:
        return Tasks(is_app).take(loop)

    asyncio.run(main())

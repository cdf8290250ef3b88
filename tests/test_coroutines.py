from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from loophound.coroutines import coroutine_of

EAGER = """
import asyncio
from loophound.coroutines import coroutine_of

async def nothing():
    pass

async def main():
    loop = asyncio.get_running_loop()
    print(coroutine_of(asyncio.Task(nothing(), loop=loop, eager_start=True)))

asyncio.run(main())
"""


def test_that_of_a_running_task() -> None:
    async def main() -> bool:
        task = asyncio.current_task()
        return task is not None and coroutine_of(task) is task.get_coro() is not None

    assert asyncio.run(main())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
def test_one_that_ended_eagerly_has_none_and_crashes_nobody() -> None:
    done = subprocess.run([sys.executable, "-c", EAGER], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "None\n"), done.stderr


def test_a_task_of_another_make_is_asked_as_documented() -> None:
    class Own:
        def get_coro(self) -> str:
            return "its coroutine"

    own: Any = Own()
    assert coroutine_of(own) == "its coroutine"

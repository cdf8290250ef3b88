"""Other ways to block than to sleep, each on the line that names the test."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import queue
import re
import select
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

BLOCK_S = 0.2
COMPUTE_S = 0.3  # of the thread's own time: a crowded machine takes longer, and computes as much


async def turn() -> None:
    await asyncio.sleep(0.03)


def helper() -> None:
    time.sleep(BLOCK_S)  # test_helper


def test_helper() -> None:
    async def main() -> None:
        await turn()
        helper()

    asyncio.run(main())


def test_python_code() -> None:
    async def main() -> None:
        await turn()
        until = time.thread_time() + COMPUTE_S
        any(time.thread_time() > until for _ in iter(int, 1))  # test_python_code

    asyncio.run(main())


def test_loop_in_python() -> None:
    async def main() -> None:
        await turn()
        until = time.thread_time() + COMPUTE_S
        while time.thread_time() < until: pass  # test_loop_in_python  # fmt: skip  # noqa: E701

    asyncio.run(main())


def test_regular_expression() -> None:
    async def main() -> None:
        await turn()
        re.match(r"(a+)+$", "a" * 24 + "b")  # test_regular_expression

    asyncio.run(main())


def test_library() -> None:
    async def main() -> None:
        await turn()
        sorted([1], key=lambda _: time.sleep(BLOCK_S))  # type: ignore[arg-type, return-value]  # test_library

    asyncio.run(main())


def test_queue() -> None:
    async def main() -> None:
        await turn()
        with pytest.raises(queue.Empty):
            queue.Queue[int]().get(timeout=BLOCK_S)  # test_queue

    asyncio.run(main())


def test_lock() -> None:
    lock = threading.Lock()

    async def main() -> None:
        await turn()
        lock.acquire()
        lock.acquire(timeout=BLOCK_S)  # test_lock

    asyncio.run(main())


def test_event() -> None:
    async def main() -> None:
        await turn()
        threading.Event().wait(BLOCK_S)  # test_event

    asyncio.run(main())


def test_future() -> None:
    async def main() -> None:
        await turn()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            pool.submit(time.sleep, BLOCK_S).result()  # test_future

    asyncio.run(main())


def test_join() -> None:
    async def main() -> None:
        await turn()
        thread = threading.Thread(target=time.sleep, args=(BLOCK_S,))
        thread.start()
        thread.join()  # test_join

    asyncio.run(main())


def test_socket() -> None:
    async def main() -> None:
        await turn()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.settimeout(BLOCK_S)
            with pytest.raises(TimeoutError):
                ours.recv(1)  # test_socket

    asyncio.run(main())


def test_select() -> None:
    async def main() -> None:
        await turn()
        select.select([], [], [], BLOCK_S)  # test_select

    asyncio.run(main())


def test_pipe() -> None:
    async def main() -> None:
        await turn()
        reading, writing = os.pipe()
        threading.Timer(BLOCK_S, os.close, [writing]).start()
        os.read(reading, 1)  # test_pipe
        os.close(reading)

    asyncio.run(main())


def test_child_process() -> None:
    async def main() -> None:
        await turn()
        subprocess.run(["sleep", str(BLOCK_S)], check=True)  # test_child_process

    asyncio.run(main())


def test_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slow_to_import.py").write_text(f"import time\ntime.sleep({BLOCK_S})\n")
    monkeypatch.syspath_prepend(tmp_path)

    async def main() -> None:
        await turn()
        import slow_to_import  # type: ignore[import-not-found]  # noqa: F401  # test_import

    asyncio.run(main())
    del sys.modules["slow_to_import"]

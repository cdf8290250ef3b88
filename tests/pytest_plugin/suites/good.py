"""Tests of which none has a loop blocked by its own fault, or none that was not allowed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from unittest import IsolatedAsyncioTestCase

import pytest
import uvloop
from starlette.applications import Starlette
from starlette.testclient import TestClient

import loophound

STOPPED_S = 0.5
STOP = f"""
import os, sys, time
os.kill(int(sys.argv[1]), {signal.SIGSTOP:d})
time.sleep({STOPPED_S})
os.kill(int(sys.argv[1]), {signal.SIGCONT:d})
"""


async def block(seconds: float) -> None:
    await asyncio.sleep(0.03)
    time.sleep(seconds)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_waiting(run: object) -> None:
    run(asyncio.sleep(0.3))  # type: ignore[operator]


def test_no_loop() -> None:
    time.sleep(0.3)


def test_loop_that_does_not_run() -> None:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(asyncio.sleep(0.03))
    time.sleep(0.3)
    loop.run_until_complete(asyncio.sleep(0.03))
    loop.close()


def test_to_thread() -> None:
    asyncio.run(asyncio.to_thread(time.sleep, 0.3))


def test_below_the_limit() -> None:
    asyncio.run(block(0.03))


@pytest.mark.stall_limit(ms=2000)
def test_limit_of_its_own() -> None:
    asyncio.run(block(0.3))


@pytest.mark.allow_blocking(reason="it compiles templates")
def test_allowed() -> None:
    asyncio.run(block(0.3))


def test_allowed_block() -> None:
    async def main() -> None:
        await asyncio.sleep(0.03)
        with loophound.allow_blocking("it reads its rules"):
            time.sleep(0.3)

    asyncio.run(main())


def test_expected(stall_detector) -> None:  # type: ignore[no-untyped-def]
    asyncio.run(block(0.3))
    assert stall_detector.expect("sleep", function="block").culprit.line
    assert len(stall_detector.stalls) == 1


def test_nothing_to_expect(stall_detector) -> None:  # type: ignore[no-untyped-def]
    asyncio.run(block(0.0))
    assert stall_detector.stalls == []


def test_expected_in_the_loop(stall_detector) -> None:  # type: ignore[no-untyped-def]
    async def main() -> None:
        await block(0.3)
        await stall_detector.settle()
        stall_detector.expect("sleep")

    asyncio.run(main())


@pytest.mark.xfail
def test_known_to_fail() -> None:
    asyncio.run(block(0.3))


def test_stopped() -> None:
    async def main() -> None:
        await asyncio.sleep(0.1)
        stopper = subprocess.Popen([sys.executable, "-S", "-c", STOP, str(os.getpid())])
        await asyncio.sleep(STOPPED_S + 0.5)
        stopper.wait()

    asyncio.run(main())


LEFT: list[threading.Thread] = []


def test_leaves_a_loop_behind() -> None:
    running = threading.Event()

    async def main() -> None:
        running.set()
        await asyncio.sleep(0.4)
        time.sleep(0.3)

    LEFT.append(threading.Thread(target=asyncio.run, args=(main(),)))
    LEFT[0].start()
    running.wait()


def test_of_the_loop_left_behind() -> None:
    LEFT[0].join()


def test_client() -> None:
    with TestClient(Starlette()) as client:
        assert client.get("/").status_code == 404


class TestCase(IsolatedAsyncioTestCase):
    async def test_isolated(self) -> None:
        await asyncio.sleep(0.2)


def test_forked_child() -> None:
    if os.fork() == 0:
        asyncio.run(block(0.3))
        os._exit(0)
    os.wait()

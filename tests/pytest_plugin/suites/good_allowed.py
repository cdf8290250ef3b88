"""Tests that block their loops and may, and one on a machine of which all cores burn."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time

import pytest

import loophound

LONG_S = 0.2
BURN = "import time; until = time.monotonic() + 30\nwhile time.monotonic() < until: pass"


async def block(seconds: float) -> None:
    await asyncio.sleep(0.03)
    time.sleep(seconds)


@pytest.mark.stall_limit(ms=2000)
def test_limit_of_its_own() -> None:
    asyncio.run(block(LONG_S))


@pytest.mark.allow_blocking(reason="it compiles templates")
def test_allowed() -> None:
    asyncio.run(block(LONG_S))


@pytest.mark.allow_blocking("it is old")
class TestAllowed:
    def test_allowed_class(self) -> None:
        asyncio.run(block(LONG_S))


def test_allowed_block() -> None:
    async def main() -> None:
        await asyncio.sleep(0.03)
        with loophound.allow_blocking("it reads its rules"):
            time.sleep(LONG_S)

    asyncio.run(main())


def test_expected(stall_detector) -> None:  # type: ignore[no-untyped-def]
    asyncio.run(block(LONG_S))
    assert stall_detector.expect("sleep", function="block").culprit.line
    assert len(stall_detector.stalls) == 1


def test_nothing_to_expect(stall_detector) -> None:  # type: ignore[no-untyped-def]
    asyncio.run(block(0.0))
    assert stall_detector.stalls == []


def test_expected_in_the_loop(stall_detector) -> None:  # type: ignore[no-untyped-def]
    async def main() -> None:
        await block(LONG_S)
        await stall_detector.settle()
        stall_detector.expect("sleep")

    asyncio.run(main())


@pytest.mark.xfail
def test_known_to_fail() -> None:
    asyncio.run(block(LONG_S))


def test_crowded() -> None:
    """Twice as many processes compute as there are cores, and the loop is as busy as it may be."""

    async def main() -> None:
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            sum(range(20_000))
            await asyncio.sleep(0.005)

    burners = [subprocess.Popen([sys.executable, "-S", "-c", BURN]) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        asyncio.run(main())
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()

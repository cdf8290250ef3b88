"""loophound.allow_blocking and loophound.watch, with loops that really block."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

import loophound
from loophound import allowing
from loophound.detector.allowances import Allowance
from loophound.detector.records import Cause

LONG_S = 0.3


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return asyncio.run if request.param == "asyncio" else uvloop.run


def block() -> None:
    time.sleep(LONG_S)


async def guilty() -> None:
    await asyncio.sleep(0.02)
    block()
    await asyncio.sleep(0.02)


async def meant() -> None:
    await asyncio.sleep(0.02)
    with loophound.allow_blocking("it is a test"):
        block()
    await asyncio.sleep(0.02)


@loophound.allow_blocking("it is a test")
async def decorated() -> None:
    await guilty()


@loophound.allow_blocking("it is a test")
def decorated_block() -> str:
    block()
    return "done"


async def calls_decorated() -> None:
    await asyncio.sleep(0.02)
    assert decorated_block() == "done"
    await asyncio.sleep(0.02)


def watched(run: Callable[..., Any], main: Callable[[], Any], **options: Any) -> loophound.watch:
    with loophound.watch(0.1, **options) as seen:
        run(main())
    return seen


def test_a_stall_in_the_block_is_kept(run: Callable[..., Any]) -> None:
    [stall] = watched(run, guilty).stalls
    assert (stall.cause, stall.culprit and stall.culprit.function) == (Cause.SLEEP, "block")
    assert stall.duration_s >= LONG_S - 0.05


@pytest.mark.parametrize("main", [meant, decorated, calls_decorated])
def test_blocking_that_is_meant_is_not_reported(run: Callable[..., Any], main: Callable[[], Any]) -> None:
    seen = watched(run, main)
    assert (list(seen.stalls), seen.detector.stalls, seen.detector.allowed) == ([], 0, 1)


def test_what_others_do_while_the_allowed_code_awaits_is_reported(run: Callable[..., Any]) -> None:
    async def patient() -> None:
        with loophound.allow_blocking("it is a test"):
            await asyncio.sleep(LONG_S)

    async def main() -> None:
        await asyncio.gather(patient(), guilty())

    seen = watched(run, main)
    assert [stall.culprit and stall.culprit.function for stall in seen.stalls] == ["block"]


def test_code_that_a_project_allows(run: Callable[..., Any]) -> None:
    needed = Allowance("tests.test_allowing:block", "it is a test")
    spare = Allowance("tests.elsewhere", "it is a test")
    seen = watched(run, guilty, allowances=[needed, spare])
    assert (list(seen.stalls), seen.detector.allowed) == ([], 1)
    assert seen.detector.unused_allowances == [spare]


def test_within_a_running_loop(run: Callable[..., Any]) -> None:
    async def main() -> list[Cause]:
        async with loophound.watch(0.1) as seen:
            await guilty()
        after = list(seen.stalls)
        block()  # no longer watched
        await asyncio.sleep(0.1)
        assert list(seen.stalls) == after
        return [stall.cause for stall in after]

    assert run(main()) == [Cause.SLEEP]


@pytest.mark.parametrize("reason", ["", "  ", None, print])
def test_a_reason_is_needed(reason: Any) -> None:
    with pytest.raises(ValueError, match="reason"):
        loophound.allow_blocking(reason)


def test_nothing_is_left_behind() -> None:
    before = list(allowing.listeners)
    with loophound.watch():
        assert len(allowing.listeners) == len(before) + 1
    assert allowing.listeners == before

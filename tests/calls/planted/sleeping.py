"""Sleeping, in a request and in a task that it starts."""

from __future__ import annotations

import asyncio
import time
from time import sleep

from tests.calls.planted.base import MOMENT_S, plant, twin


@plant("time.sleep")
async def sleeping() -> None:
    time.sleep(MOMENT_S)  # planted


@twin
async def sleeping_twin() -> None:
    await asyncio.sleep(MOMENT_S)
    time.sleep(0)


@plant("time.sleep")
async def early_bound() -> None:
    sleep(MOMENT_S)  # planted


@twin
async def early_bound_twin() -> None:
    await asyncio.to_thread(sleep, MOMENT_S)


@plant("time.sleep")
async def in_a_task() -> None:
    async def child() -> None:
        time.sleep(MOMENT_S)  # planted

    await asyncio.create_task(child())


@twin
async def in_a_task_twin() -> None:
    await asyncio.create_task(asyncio.sleep(MOMENT_S))

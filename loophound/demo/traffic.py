"""The traffic of the demo: a steady healthy load, and each blocker in turn, standing alone."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from loophound.demo.client import Client
from loophound.demo.plan import Endpoint, Planted
from loophound.demo.sizes import TARGET_S

CALLS = 2  # of each blocker
CONCURRENT_CLIENTS = 8
THINK_TIME_S = 0.02  # between the requests of a client: a load, not a benchmark
SHORTEST_PAUSE_S = 0.15  # the loop must turn freely between two stalls, or they are one
SHORTEST_RUN_S = 10.0


@dataclass(slots=True)
class Load:
    """What the healthy clients saw."""

    requests: int = 0
    slowest_s: float = 0.0

    def count(self, elapsed_s: float) -> None:
        self.requests += 1
        self.slowest_s = max(self.slowest_s, elapsed_s)


async def drive(
    host: str,
    port: int,
    planted: Sequence[Planted],
    healthy: Sequence[Endpoint],
    seconds: float,
) -> Load:
    """Load the server for about `seconds` seconds.

    Raises LoophoundError when an endpoint fails, OSError or EOFError when the server goes away.
    """
    load = Load()
    clients = [asyncio.create_task(_browse(host, port, healthy, start, load)) for start in range(CONCURRENT_CLIENTS)]
    blocking = asyncio.create_task(_block(host, port, planted, seconds))
    try:
        # A client ends only by failing, and then there is no use in going on.
        done, _ = await asyncio.wait([blocking, *clients], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in (blocking, *clients):
            task.cancel()
        await asyncio.gather(blocking, *clients, return_exceptions=True)
    return load


def order_of_calls(
    planted: Sequence[Planted], shuffle: Callable[[list[Planted]], None] = random.shuffle
) -> list[Planted]:
    """Each blocker once in random order, then each again."""
    calls: list[Planted] = []
    for _ in range(CALLS):
        turn = list(planted)
        shuffle(turn)
        calls += turn
    return calls


def pause_s(seconds: float, calls: int) -> float:
    """How long to wait before each call, so that all of them take `seconds` together."""
    return max(SHORTEST_PAUSE_S, seconds / calls - TARGET_S)


async def _browse(host: str, port: int, healthy: Sequence[Endpoint], start: int, load: Load) -> None:
    async with Client(host, port) as client:
        for endpoint in itertools.islice(itertools.cycle(healthy), start, None):
            began = time.perf_counter()
            await client.request(endpoint)
            load.count(time.perf_counter() - began)
            await asyncio.sleep(THINK_TIME_S)


async def _block(host: str, port: int, planted: Sequence[Planted], seconds: float) -> None:
    calls = order_of_calls(planted)
    async with Client(host, port) as client:
        for entry in calls:
            await asyncio.sleep(pause_s(seconds, len(calls)))
            await client.request(entry.endpoint)
    await asyncio.sleep(SHORTEST_PAUSE_S)

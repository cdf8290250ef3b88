"""What the applications send in pieces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

PIECE = bytes(range(256)) * 4096  # a MiB


async def numbered(count: int) -> AsyncIterator[str]:
    """`count` lines, each in a turn of the loop of its own."""
    for number in range(count):
        yield f"line {number}\n"
        await asyncio.sleep(0)

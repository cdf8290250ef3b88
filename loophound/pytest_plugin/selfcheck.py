"""Proves that the detector is armed: a loop is blocked for real, and must be seen."""

from __future__ import annotations

import asyncio
import threading
import time

from loophound.pytest_plugin.watch import Watch

ATTEMPTS = 3
THREAD = "loophound-self-check"


def self_check(watch: Watch) -> str:
    """What is wrong; empty when a block on a private loop, in a thread of its own, was seen."""
    for _ in range(ATTEMPTS):
        thread = threading.Thread(target=_block, args=(watch.detector.threshold_ns / 1e9,), name=THREAD, daemon=True)
        thread.start()
        thread.join()
        watch.settle()
        if any(seen.stall.thread == THREAD for seen in watch.sightings):
            return ""
    return (
        "DETECTION DOES NOT WORK in this environment: a loop was blocked on purpose, and nothing was seen of it; "
        "tests that block their loop pass. `loophound doctor` tells what is missing"
    )


def _block(threshold_s: float) -> None:
    async def block() -> None:
        await asyncio.sleep(threshold_s / 5)
        time.sleep(threshold_s * 1.3)

    loop = asyncio.SelectorEventLoop()
    try:
        loop.run_until_complete(block())
    finally:
        loop.close()

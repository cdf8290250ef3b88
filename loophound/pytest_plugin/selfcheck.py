"""Proves that the detector is armed: a loop is blocked for real, and must be seen."""

from __future__ import annotations

import asyncio
import threading
import time

from loophound.pytest_plugin.watch import Watch

ATTEMPTS = 3
THREAD = "loophound-self-check"
# In intervals of the watchdog, of which a threshold has five. After two it begins to look; to block for longer
# would prove no more, and a run of few tests waits for it.
THRESHOLD = 2.5
LENGTH = 3.25


class CheckedLoop(asyncio.SelectorEventLoop):
    """Blocked for so long it is stalled, whatever the limit of the tests."""

    def __init__(self, stall_threshold_ns: int) -> None:
        super().__init__()
        self.stall_threshold_ns = stall_threshold_ns


def self_check(watch: Watch) -> str:
    """What is wrong; empty when a block on a private loop, in a thread of its own, was seen."""
    for _ in range(ATTEMPTS):
        thread = threading.Thread(target=_block, args=(watch.detector.interval_ns,), name=THREAD, daemon=True)
        thread.start()
        thread.join()
        watch.settle()
        if any(seen.stall.thread == THREAD for seen in watch.sightings):
            return ""
    return (
        "DETECTION DOES NOT WORK in this environment: a loop was blocked on purpose, and nothing was seen of it; "
        "tests that block their loop pass. `loophound doctor` tells what is missing"
    )


def _block(interval_ns: int) -> None:
    async def block() -> None:
        await asyncio.sleep(0)
        time.sleep(interval_ns * LENGTH / 1e9)

    loop = CheckedLoop(int(interval_ns * THRESHOLD))
    try:
        loop.run_until_complete(block())
    finally:
        loop.close()

"""The executors of the process as the feed shows them."""

from __future__ import annotations

import asyncio
import sys
from typing import Any


def executors(loops: list[asyncio.AbstractEventLoop]) -> list[dict[str, Any]]:
    """Those of loophound.offload(), where it is in use, and the loops' own."""
    return [*_offloading(), *(entry for loop in loops for entry in _default_of(loop))]


def _offloading() -> list[dict[str, Any]]:
    metrics = sys.modules.get("loophound.offloading.metrics")  # not loaded: nothing is offloaded
    entries = []
    for offloading in list(metrics.in_use) if metrics is not None else ():
        for name, counts in offloading.to_dict().items():
            ended = max(1, counts["calls"] - counts["waiting"] - counts["in_flight"])
            entries.append(
                {
                    "name": name,
                    "kind": name if name in ("thread", "process", "interpreter") else "registered",
                    "queued": int(counts["waiting"]),
                    "running": int(counts["in_flight"]),
                    "rejected": int(counts["rejected"]),
                    "calls": int(counts["calls"]),
                    "wait_mean_s": round(counts["queue_wait_s"] / ended, 6),
                    "wait_max_s": round(counts["queue_wait_max_s"], 6),
                    "run_mean_s": round(counts["run_s"] / ended, 6),
                    "run_max_s": round(counts["run_max_s"], 6),
                }
            )
    return entries


def _default_of(loop: asyncio.AbstractEventLoop) -> list[dict[str, Any]]:
    """Of run_in_executor(None, ...) and asyncio.to_thread(); uvloop does not show its own."""
    pool: Any = getattr(loop, "_default_executor", None)
    try:
        queued, threads = pool._work_queue.qsize(), len(pool._threads)
        running = threads - pool._idle_semaphore._value
    except AttributeError:
        return []
    return [
        {"name": "asyncio", "kind": "thread", "queued": queued, "running": max(0, running), "rejected": 0}
        | dict.fromkeys(("calls", "wait_mean_s", "wait_max_s", "run_mean_s", "run_max_s"))
    ]

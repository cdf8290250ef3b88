"""The executors of the process as the feed shows them: read from a thread of the detector's, and nothing patched."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from loophound.detector.adapters.current_frames import current_frames

MOST_SHOWN = 40
TIMES = ("wait_mean_s", "wait_p50_s", "wait_p99_s", "wait_max_s", "run_mean_s", "run_p50_s", "run_p99_s", "run_max_s")

Entry = dict[str, Any]


def executors(loops: list[asyncio.AbstractEventLoop]) -> list[Entry]:
    """Those of loophound.offload(), where it is in use; anyio's threads; and thread pools, the loops' own among them.

    Of the last two it is known what they do now, but not how long calls wait and run: `calls` and times are null.
    """
    return [*_offloading(), *_of_anyio(loops), *_thread_pools()][:MOST_SHOWN]


def _offloading() -> Iterator[Entry]:
    metrics = sys.modules.get("loophound.offloading.metrics")  # not loaded: nothing is offloaded
    for offloading in list(metrics.in_use) if metrics is not None else ():
        for name, counts in offloading.to_dict().items():
            kind = name if name in ("thread", "process", "interpreter") else "registered"
            now = {"queued": counts["waiting"], "running": counts["in_flight"], "rejected": counts["rejected"]}
            yield {"name": name, "kind": kind, **{key: int(count) for key, count in now.items()}, **_times_of(counts)}


def _times_of(counts: Mapping[str, float]) -> Entry:
    ended = max(1, counts["calls"] - counts["waiting"] - counts["in_flight"])
    seconds = {}
    for name, counted in (("wait", "queue_wait"), ("run", "run")):
        seconds[f"{name}_mean_s"] = counts[f"{counted}_s"] / ended
        seconds |= {f"{name}_{what}_s": counts[f"{counted}_{what}_s"] for what in ("p50", "p99", "max")}
    return {"calls": int(counts["calls"]), **{name: round(value, 6) for name, value in seconds.items()}}


def _unmeasured(name: str, queued: int, running: int) -> Entry:
    return {
        "name": name, "kind": "thread", "queued": queued, "running": running, "rejected": 0,
        **dict.fromkeys(("calls", *TIMES)),
    }  # fmt: skip


def _of_anyio(loops: list[asyncio.AbstractEventLoop]) -> Iterator[Entry]:
    """The threads of anyio.to_thread, in which Starlette and FastAPI run what is not async."""
    variables = getattr(sys.modules.get("anyio.lowlevel"), "_run_vars", None)
    variable = getattr(sys.modules.get("anyio._backends._asyncio"), "_default_thread_limiter", None)
    for loop in loops:
        try:
            limiter = variables[loop][variable]  # type: ignore[index]
            yield _unmeasured("anyio", limiter.statistics().tasks_waiting, limiter.borrowed_tokens)
        except (LookupError, TypeError, AttributeError, RuntimeError):
            continue  # it is not in use on this loop, or another version keeps it elsewhere


def _thread_pools() -> Iterator[Entry]:
    """ThreadPoolExecutors, by the names of their threads: "asyncio" is the one of asyncio.to_thread()."""
    module: Any = sys.modules.get("concurrent.futures.thread")
    queued: Counter[str] = Counter()
    running: Counter[str] = Counter()
    queues: set[int] = set()
    try:
        frames = current_frames()
        for thread, queue in list(module._threads_queues.items()):
            name = thread.name.rpartition("_")[0] or thread.name
            if id(queue) not in queues:
                queues.add(id(queue))
                queued[name] += queue.qsize()
            frame = frames.get(thread.ident)
            # One that has nothing to do waits for its queue, in C.
            running[name] += frame is not None and frame.f_code is not module._worker.__code__
    except (AttributeError, TypeError, RuntimeError):
        return
    for name in running:
        yield _unmeasured(name, queued[name], running[name])

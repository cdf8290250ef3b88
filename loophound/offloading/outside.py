"""Executors of others that keep silent when what they run on has gone."""

from __future__ import annotations

from concurrent.futures import Executor

import anyio

LOOK_S = 1.0
PATIENCE_S = 15.0  # a scheduler that is started anew is there by then


def is_cut_off(executor: Executor) -> bool:
    """Whether this is Dask's executor, whose client has lost its scheduler.

    It takes calls all the same and keeps them until it finds a scheduler, for ever where the client was made
    without a limit. distributed.Client.status is "running", "connecting", "closing" or "closed".
    """
    client = getattr(executor, "_client", None)
    return type(executor).__module__.startswith("distributed.") and getattr(client, "status", "running") != "running"


async def done_or_cut_off(done: anyio.Event, executor: Executor) -> bool:
    """Wait for `done`; False when the executor was cut off for PATIENCE_S meanwhile."""
    if not type(executor).__module__.startswith("distributed."):
        await done.wait()
        return True
    cut_off_s = 0.0
    while cut_off_s < PATIENCE_S:
        with anyio.move_on_after(LOOK_S):
            await done.wait()
            return True
        cut_off_s = cut_off_s + LOOK_S if is_cut_off(executor) else 0.0
    return False

"""Signals, and the end of what still runs."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from loophound.server.seat import Give
from loophound.server.site import Site

logger = logging.getLogger("loophound.server")

HANDLED = (signal.SIGINT, signal.SIGTERM)
# What a cancelled application gets to clean up.
UNWIND_S = 1.0
# asyncio takes three turns from accept(2) to connection_made(), uvloop one.
TURNS_TO_CONNECT = 8
GIVING_PAUSE_S = 0.02


@contextmanager
def signals_handled(on_signal: Callable[[], int]) -> Iterator[list[int]]:
    """Call `on_signal` at SIGINT and SIGTERM; it returns how many have come so far. Gives their numbers.

    The third one takes its default way at once, for a loop that is blocked and for
    whatever else does not end. Does nothing outside the main thread (signal docs). Plain
    handlers, not `loop.add_signal_handler`: only these can be put back as they were, and
    they run even while a callback blocks the loop.
    """
    if threading.current_thread() is not threading.main_thread():
        yield []
        return
    came: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        came.append(number)
        if on_signal() > 2:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    before: dict[int, Any] = {}
    try:
        for number in HANDLED:
            before[number] = signal.signal(number, handle)
        yield came
    finally:
        for handled, handler in before.items():
            # None stands for a handler that was not set from Python, and cannot be put back.
            signal.signal(handled, signal.SIG_DFL if handler is None else handler)


@contextmanager
def reload_handled(reload: Callable[[], None]) -> Iterator[None]:
    """Call `reload` at SIGHUP, as daemons do (signal(7)). Does nothing outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGHUP, lambda number, frame: reload())
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL if before is None else before)


async def settle_accepted() -> None:
    """Let connections that the loop has accepted reach their protocols, after the listener was closed."""
    for _ in range(TURNS_TO_CONNECT):
        await asyncio.sleep(0)


async def give_connections(site: Site, give: Give, grace_s: float | None, forced: asyncio.Event) -> None:
    """Give idle connections away, and busy ones when their requests end; for `grace_s` seconds at most."""
    deadline_s = None if grace_s is None else site.loop.time() + grace_s
    while site.connections or site.tasks():
        for connection in list(site.connections):
            connection.retire(give)
        if deadline_s is not None and site.loop.time() >= deadline_s:
            return
        if await _within(forced.wait(), site.loop.time() + GIVING_PAUSE_S, asyncio.Event()):
            return


async def end_requests(site: Site, grace_s: float | None, forced: asyncio.Event) -> None:
    """Let requests end for `grace_s` seconds (None: for ever) or until `forced`, then cancel them."""
    site.stopping = True
    for connection in list(site.connections):
        connection.stop()
    loop = site.loop
    deadline_s = None if grace_s is None else loop.time() + grace_s
    if site.tasks():
        logger.info("Waiting for %d requests to end (press CTRL+C to stop at once)", len(site.tasks()))
    while tasks := site.tasks():
        if not await _within(asyncio.wait(tasks), deadline_s, forced):
            break
    if tasks := site.tasks():
        reason = "at once" if forced.is_set() else f"within {grace_s:g} seconds"
        logger.warning("%d requests did not end %s: cancelled", len(tasks), reason)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=UNWIND_S)
    if deadline_s is not None:
        deadline_s = max(deadline_s, loop.time() + UNWIND_S)
    await _within(site.emptied(), deadline_s, forced)  # until the last bytes have left
    for connection in list(site.connections):
        connection.transport.abort()
    await asyncio.sleep(0)


async def _within(work: Any, deadline_s: float | None, forced: asyncio.Event) -> bool:
    """Await `work`; False when the deadline or `forced` came first."""
    loop = asyncio.get_running_loop()
    done = loop.create_task(work)
    force = loop.create_task(forced.wait())
    timeout_s = None if deadline_s is None else max(0.0, deadline_s - loop.time())
    try:
        await asyncio.wait({done, force}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        return done.done()
    finally:
        done.cancel()
        force.cancel()

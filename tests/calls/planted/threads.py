"""What waits for other threads."""

from __future__ import annotations

import asyncio
import concurrent.futures
import queue
import threading
import time
from contextlib import suppress

from tests.calls.planted.base import MOMENT_S, here, plant, soon, twin


@plant("threading.Lock.acquire")
async def locking() -> None:
    lock = threading.Lock()
    lock.acquire()
    soon(lock.release)
    lock.acquire()  # planted


@twin
async def locking_twin() -> None:
    lock = threading.Lock()
    with lock:
        lock.acquire(blocking=False)
    lock.acquire()


@plant("threading.RLock.acquire")
async def entering() -> None:
    lock, held = threading.RLock(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            time.sleep(MOMENT_S)

    await asyncio.get_running_loop().run_in_executor(None, lambda: threading.Thread(target=hold, daemon=True).start())
    await asyncio.to_thread(held.wait)
    with lock:  # planted
        pass


@twin
async def entering_twin() -> None:
    lock = asyncio.Lock()
    async with lock:
        pass
    with threading.RLock():
        pass


@plant("threading.Condition.wait")
async def waiting_for_a_condition() -> None:
    condition = threading.Condition()
    with condition:
        condition.wait(MOMENT_S)  # planted


@twin
async def waiting_for_a_condition_twin() -> None:
    condition = threading.Condition()
    with condition:
        condition.notify_all()


@plant("threading.Event.wait")
async def waiting_for_an_event() -> None:
    threading.Event().wait(MOMENT_S)  # planted


@twin
async def waiting_for_an_event_twin() -> None:
    event = threading.Event()
    event.wait(0)
    event.set()
    event.wait()


@plant("threading.Semaphore.acquire")
async def waiting_for_a_semaphore() -> None:
    semaphore = threading.Semaphore(0)
    soon(semaphore.release)
    semaphore.acquire()  # planted


@twin
async def waiting_for_a_semaphore_twin() -> None:
    with threading.Semaphore(1):
        threading.Semaphore(0).acquire(blocking=False)


@plant("queue.Queue.get")
async def getting() -> None:
    waiting: queue.Queue[int] = queue.Queue()
    soon(waiting.put, 1)
    waiting.get()  # planted


@twin
async def getting_twin() -> None:
    waiting: queue.Queue[int] = queue.Queue()
    waiting.put(1)
    waiting.get()
    with suppress(queue.Empty):
        waiting.get_nowait()


@plant("queue.Queue.put")
async def putting() -> None:
    waiting: queue.Queue[int] = queue.Queue(1)
    waiting.put(1)
    soon(waiting.get)
    waiting.put(2)  # planted


@twin
async def putting_twin() -> None:
    waiting: asyncio.Queue[int] = asyncio.Queue()
    await waiting.put(1)


@plant("threading.Thread.join")
async def joining() -> None:
    thread = threading.Thread(target=time.sleep, args=(MOMENT_S,))
    thread.start()
    thread.join()  # planted


@twin
async def joining_twin() -> None:
    thread = threading.Thread(target=int)
    thread.start()
    await asyncio.to_thread(thread.join)
    thread.join()


@plant("concurrent.futures.Future.result")
async def result() -> None:
    here.pool.submit(time.sleep, MOMENT_S).result()  # planted


@twin
async def result_twin() -> None:
    future = here.pool.submit(time.sleep, MOMENT_S)
    await asyncio.wrap_future(future)
    future.result()


@plant("concurrent.futures.wait")
async def waiting_for_futures() -> None:
    concurrent.futures.wait([here.pool.submit(time.sleep, MOMENT_S)])  # planted


@twin
async def waiting_for_futures_twin() -> None:
    await asyncio.wait([asyncio.wrap_future(here.pool.submit(time.sleep, MOMENT_S))])

"""The executors of one application: bounded pools, made when first used, closed together."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import AbstractContextManager, nullcontext
from contextvars import Context, ContextVar, copy_context
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar

from loophound.offloading import outside
from loophound.offloading.call import Call, name_of
from loophound.offloading.errors import (
    OffloadError,
    OffloadPicklingError,
    OffloadQueueFullError,
    OffloadTimeoutError,
)
from loophound.offloading.metrics import OffloadMetrics
from loophound.offloading.outside import done_or_cut_off
from loophound.offloading.pool import Job, JobState, Pool, logger
from loophound.offloading.process import WorkerProcess, read
from loophound.offloading.wake import waker

THREADS = 40  # what anyio and Starlette allow by default
QUEUE = 1000

_registered: dict[str, Executor] = {}
IDLE_S = 10.0  # how long a thread without work stays
FATES = {
    "thread": "its thread runs on until it returns",
    "process": "its worker process was killed",
    "route": "its task was cancelled, its thread runs on until that is seen",
}
KINDS = ("thread", "process", "interpreter")


def register_executor(name: str, executor: Executor) -> None:
    """Let `offload(executor=name)` mean this PEP 3148 executor. It stays yours: shut it down yourself.

    Raises ValueError for one of the built-in names, TypeError for what has no submit().
    """
    if name in KINDS:
        raise ValueError(f"{name!r} is a built-in executor: take another name")
    if not callable(getattr(executor, "submit", None)):
        raise TypeError(f"an executor has submit() (PEP 3148); {type(executor).__name__} has not")
    _registered[name] = executor


def usable_cpus() -> int:
    """CPUs that this process may use (sched_getaffinity(2) where there is one)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Pools:
    """`threads` and `processes` run at most, `queue` calls wait at most for each, `time_limit_s` seconds
    pass at most from a call to its result, waiting included; None for no limit.
    """

    def __init__(
        self,
        *,
        threads: int | None = None,
        processes: int | None = None,
        queue: int = QUEUE,
        time_limit_s: float | None = None,
    ) -> None:
        self.threads = THREADS if threads is None else threads
        self.processes = usable_cpus() if processes is None else processes
        if self.threads < 1 or self.processes < 1 or queue < 0:
            raise ValueError("threads and processes are at least 1, queue at least 0")
        if time_limit_s is not None and time_limit_s <= 0:
            raise ValueError("time_limit_s is above 0, or None for no limit")
        self.queue, self.time_limit_s = queue, time_limit_s
        self.metrics = OffloadMetrics()
        self._open: dict[str, Pool[Any]] = {}
        self._opening = threading.Lock()  # the main loop and side loops share the pools
        self._interpreters: RunVar[anyio.CapacityLimiter] = RunVar("loophound_interpreters")

    async def run(self, executor: str | Executor, call: Call) -> Any:
        """Run the call on "thread", "process", "interpreter", a registered name or an executor."""
        match executor:
            case "thread":
                return await self._run_in_thread(call)
            case "process":
                return await self._run_in_process(call)
            case "interpreter":
                return await self._run_in_interpreter(call)
            case str():
                if executor not in _registered:
                    known = ", ".join([*KINDS, *sorted(_registered)])
                    raise OffloadError(f"no executor {executor!r}: register_executor() it; there are {known}")
                return await self._run_in_executor(executor, _registered[executor], call)
            case _:
                return await self._run_in_executor(type(executor).__name__, executor, call)

    async def close(self, grace_s: float) -> list[str]:
        """Refuse new calls, wait `grace_s` seconds for those that run, and return the names of those abandoned.

        The next call opens the pools again.
        """
        abandoned: list[str] = []

        async def close_one(pool: Pool[Any]) -> None:
            abandoned.extend(await anyio.to_thread.run_sync(pool.close, grace_s))

        async with anyio.create_task_group() as group:
            for pool in list(self._open.values()):
                group.start_soon(close_one, pool)
        self._open.clear()
        return abandoned

    def pool(
        self,
        name: str,
        size: int,
        environment: Callable[[], AbstractContextManager[Any]],
        *,
        idle_s: float | None = IDLE_S,
    ) -> Pool[Any]:
        """The pool of that name, made with the first call for it."""
        with self._opening:
            if name not in self._open:
                self._open[name] = Pool(name, size, self.queue, self.metrics[name], environment, idle_s)
            return self._open[name]

    async def wait(
        self,
        pool: Pool[Any],
        name: str,
        work: Callable[[Any, Job[Any]], Any],
        limit: anyio.CancelScope | None = None,
    ) -> Any:
        """Run `work` as a job of the pool; a caller that is cancelled, or over the time limit, gives it up.

        `limit`: a scope of the caller's own, whose deadline it may move.
        """
        done = anyio.Event()
        job: Job[Any] = Job(name, work, waker(done.set))
        try:
            pool.submit(job)
        except OffloadQueueFullError:
            if (refusal := current_refusal.get()) is not None:
                refusal.happened = True
            raise
        counts = self.metrics[pool.name]
        try:
            with limit or anyio.move_on_after(self.time_limit_s):
                await done.wait()
        except BaseException:  # cancelled: asyncio's and trio's exceptions have no common base but this
            if not done.is_set():
                counts.add(cancelled=1)
                self._say_abandoned(pool, job, "its caller was cancelled")
            raise
        if not done.is_set() and self._say_abandoned(pool, job, "it is over the time limit"):
            counts.add(timed_out=1)
            raise OffloadTimeoutError(f"{name}: no result within {self.time_limit_s:g} s")
        return job.result()

    def _say_abandoned(self, pool: Pool[Any], job: Job[Any], why: str) -> bool:
        state = pool.give_up(job)
        if state is JobState.ABANDONED:
            logger.warning("abandoned %s on the %s executor: %s; %s", job.name, pool.name, why, FATES[pool.name])
        return state is not JobState.ENDED

    async def _run_in_thread(self, call: Call) -> Any:
        call.context = _context()
        pool = self.pool("thread", self.threads, nullcontext)
        return await self.wait(pool, name_of(call.function), lambda _, __: call())

    async def _run_in_process(self, call: Call) -> Any:
        name = name_of(call.function)
        pool = self.pool("process", self.processes, partial(WorkerProcess, self.metrics["process"]), idle_s=None)

        # In the pool's thread, after the wait: a call that is withdrawn is never pickled.
        def work(worker: WorkerProcess, job: Job[WorkerProcess]) -> Any:
            data = self._dump("process", call)
            worker.start()
            pool.interruptible(job, worker.kill)
            return worker.call(name, data)

        return await self.wait(pool, name, work)

    async def _run_in_interpreter(self, call: Call) -> Any:
        """By anyio. A running call cannot be stopped: its caller is cancelled when it ends."""
        if sys.version_info < (3, 13):
            raise OffloadError(
                f"{name_of(call.function)}: executor='interpreter' needs Python 3.13 or later, this is "
                f"{sys.version_info.major}.{sys.version_info.minor}; use 'process'"
            )
        from anyio import to_interpreter

        from loophound.offloading.worker import answer

        limiter = self._interpreters.get(None)
        if limiter is None:
            self._interpreters.set(limiter := anyio.CapacityLimiter(self.processes))
        data = self._dump("interpreter", call)
        reply = await to_interpreter.run_sync(answer, data, limiter=limiter)
        return read(name_of(call.function), reply, self.metrics["interpreter"])

    async def _run_in_executor(self, name: str, executor: Executor, call: Call) -> Any:
        call.context = _context()
        function = name_of(call.function)
        counts = self.metrics[name]
        began = time.perf_counter()
        try:
            future: Future[Any] = executor.submit(call)
        except Exception as error:  # it was shut down, is broken, has lost its scheduler, or pickles here
            raise _pickling_error(error) or OffloadError(
                f"{function}: the executor {name} does not take it: {error}"
            ) from error
        counts.add(calls=1, in_flight=1)
        done = anyio.Event()
        wake = waker(done.set)
        future.add_done_callback(lambda _: wake())
        cut_off = False
        try:
            with anyio.move_on_after(self.time_limit_s):
                cut_off = not await done_or_cut_off(done, executor)
        finally:
            counts.add(in_flight=-1)
            counts.ran(time.perf_counter() - began)
            timely = done.is_set()
            if not timely and not future.cancel():
                counts.add(abandoned=1)
                logger.warning("abandoned %s on the executor %s: it cannot be stopped there", function, name)
        if cut_off:
            counts.add(failed=1)
            raise OffloadError(f"{function}: the executor {name} has found no scheduler for {outside.PATIENCE_S:g} s")
        if not timely:
            counts.add(timed_out=1)
            raise OffloadTimeoutError(f"{function}: no result within {self.time_limit_s:g} s")
        if future.cancelled():
            raise OffloadError(f"{function}: the executor {name} gave the call up")
        try:
            return future.result(0)
        except BrokenExecutor as error:
            raise OffloadError(f"{function}: the executor {name} broke: {error}") from error

    def _dump(self, executor: str, call: Call) -> bytes:
        began = time.perf_counter()
        data = call.dump()
        self.metrics[executor].add(pickling_s=time.perf_counter() - began, pickled_bytes=len(data))
        return data


def _pickling_error(error: BaseException | None) -> OffloadPicklingError | None:
    """Ours, which names the argument, from below what the executor made of it."""
    while error is not None and not isinstance(error, OffloadPicklingError):
        error = error.__cause__ or error.__context__
    return error


def _context() -> Context:
    context = copy_context()
    if "sniffio" in sys.modules:  # a thread runs no loop, whatever the caller ran in
        context.run(sys.modules["sniffio"].current_async_library_cvar.set, None)
    return context


class Refusal:
    """Whether a call of this request found a queue full, whatever the framework makes of the exception."""

    happened = False


current_refusal: ContextVar[Refusal | None] = ContextVar("loophound_refusal", default=None)
current_pools: ContextVar[Pools | None] = ContextVar("loophound_pools", default=None)
_default: Pools | None = None


def pools() -> Pools:
    """Those of the OffloadMiddleware that serves this request, else those of the process."""
    global _default
    found = current_pools.get()
    if found is None:
        if _default is None:
            _default = Pools()
        found = _default
    return found


def current_metrics() -> OffloadMetrics:
    """The counters of the OffloadMiddleware that serves this request, else those of the process."""
    return pools().metrics

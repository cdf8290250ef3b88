"""A bounded pool of daemon threads with a bounded queue.

Each thread works in an environment of its own: nothing, a worker process, or a side event
loop. anyio's worker threads and CapacityLimiter were measured and left, for three reasons. The
interpreter waits for anyio's threads at its exit, so that a function which never returns
would keep the server from stopping. An abandoned call gives its token back while its
thread runs on, so that the limit would not limit. And they belong to one loop, while a
pool here serves the main loop and the side loops alike.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from enum import Enum, auto
from typing import Any, Generic, TypeVar

from loophound.offloading.errors import OffloadError, OffloadQueueFullError
from loophound.offloading.metrics import Counts

logger = logging.getLogger("loophound.offload")

SETTLE_S = 5.0  # what threads get at a close to leave, once their work was interrupted
Environment = TypeVar("Environment")


class JobState(Enum):
    """WAITING -> RUNNING -> ENDED; given up: WAITING -> WITHDRAWN, RUNNING -> ABANDONED."""

    WAITING = auto()
    RUNNING = auto()
    ENDED = auto()
    WITHDRAWN = auto()
    ABANDONED = auto()


class Job(Generic[Environment]):
    """One call: `work` runs in a thread of the pool, then `wake` is called there.

    `work` may set `interrupt`: called when the job is abandoned, from any thread.
    """

    __slots__ = ("asked_s", "began_s", "error", "interrupt", "name", "state", "value", "wake", "work")

    def __init__(self, name: str, work: Callable[[Environment, Job[Environment]], Any], wake: Callable[[], None]):
        self.name = name
        self.work = work
        self.wake = wake
        self.state = JobState.WAITING
        self.value: Any = None
        self.error: BaseException | None = None
        self.interrupt: Callable[[], object] | None = None
        self.asked_s = self.began_s = 0.0

    def result(self) -> Any:
        """The value, or the exception raised with the traceback that it has."""
        if self.error is None:
            return self.value
        try:
            raise self.error
        finally:
            self.error = None  # the traceback refers to this frame: no cycle


class PoolState(Enum):
    OPEN = auto()
    CLOSING = auto()


class Pool(Generic[Environment]):
    """`size` threads at most, `queue` jobs at most that wait; thread-safe.

    `idle_s`: how long a thread without work stays, with its environment; None for always.
    """

    def __init__(
        self,
        name: str,
        size: int,
        queue: int,
        counts: Counts,
        environment: Callable[[], AbstractContextManager[Environment]],
        idle_s: float | None = 10.0,
    ) -> None:
        self.name, self.size, self.queue, self.idle_s = name, size, queue, idle_s
        self._counts = counts
        self._environment = environment
        self._changed = threading.Condition()
        self._state = PoolState.OPEN
        self._waiting: deque[Job[Environment]] = deque()
        self._running: set[Job[Environment]] = set()
        self._threads: set[threading.Thread] = set()
        self._leaving: set[threading.Thread] = set()
        self._idle = 0

    def submit(self, job: Job[Environment]) -> None:
        """Raises OffloadQueueFullError, or OffloadError once the pool closes."""
        job.asked_s = time.perf_counter()
        with self._changed:
            if self._state is not PoolState.OPEN:
                raise OffloadError(f"{job.name}: not started, the {self.name} executor is shutting down")
            if len(self._waiting) + len(self._running) >= self.size + self.queue:
                self._counts.add(rejected=1)
                raise OffloadQueueFullError(
                    f"{job.name}: all {self.size} {self.name} workers are busy and {self.queue} calls wait"
                )
            if len(self._waiting) < self._idle:
                self._changed.notify()
            elif len(self._threads) < self.size:
                self._start_thread(job)
            self._waiting.append(job)
            self._counts.add(calls=1, waiting=1)

    def give_up(self, job: Job[Environment]) -> JobState:
        """Nobody waits for the job any more: withdraw it, or leave the thread to it.

        Returns ENDED when it was done already.
        """
        with self._changed:
            if job.state is JobState.WAITING:
                job.state = JobState.WITHDRAWN
                self._waiting.remove(job)
                self._counts.add(waiting=-1)
            elif job.state is JobState.RUNNING:
                job.state = JobState.ABANDONED
                self._counts.add(abandoned=1)
                if job.interrupt is not None:
                    job.interrupt()  # under the lock: the thread cannot take its next job meanwhile
            return job.state

    def interruptible(self, job: Job[Environment], interrupt: Callable[[], object]) -> None:
        """Called by the job's work: from now on `interrupt`, which must not block, ends it. Called at once
        if the job was given up.
        """
        with self._changed:
            job.interrupt = interrupt
            if job.state is JobState.ABANDONED:
                interrupt()

    def close(self, grace_s: float) -> list[str]:
        """Refuse new jobs and those that wait, give those that run `grace_s` seconds, and say what was
        abandoned: in the log and as the names returned. Blocks.
        """
        with self._changed:
            self._state = PoolState.CLOSING
            refused = list(self._waiting)
            self._waiting.clear()
            self._counts.add(waiting=-len(refused))
            for job in refused:
                job.state = JobState.WITHDRAWN
            self._changed.notify_all()
        for job in refused:
            job.error = OffloadError(f"{job.name}: not started, the {self.name} executor shut down")
            job.wake()
        with self._changed:
            self._changed.wait_for(lambda: not self._running, grace_s)
            left = list(self._running)
            interruptible = all(job.interrupt for job in left)
        for job in left:
            self._abandon(job, grace_s)
        with self._changed:
            # Threads in code that cannot be interrupted stay; they are daemons.
            settle_s = SETTLE_S if interruptible else 0.0
            self._changed.wait_for(lambda: not (self._threads or self._leaving), settle_s)
            leaving = list(self._leaving)
        for thread in leaving:
            thread.join(settle_s)
        return [job.name for job in left]

    def _abandon(self, job: Job[Environment], grace_s: float) -> None:
        ran_s = time.perf_counter() - job.began_s
        logger.warning(
            "shutdown: abandoned %s on the %s executor after %.1f s (grace %.1f s)",
            job.name, self.name, ran_s, grace_s,
        )  # fmt: skip
        waited_for = job.state is JobState.RUNNING
        if self.give_up(job) is JobState.ABANDONED and waited_for:
            job.error = OffloadError(f"{job.name}: abandoned at shutdown after {ran_s:.1f} s")
            job.wake()

    def _start_thread(self, job: Job[Environment]) -> None:
        thread = threading.Thread(target=self._serve, name=f"loophound-offload-{self.name}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the system has no more threads; those that are there may serve the job
            if not self._threads:
                raise OffloadError(f"{job.name}: {error}") from error
            return
        self._threads.add(thread)
        self._idle += 1

    def _serve(self) -> None:
        me = threading.current_thread()
        try:
            with self._environment() as environment:
                while (job := self._next(me)) is not None:
                    self._run(job, environment)
                    del job  # an idle thread keeps no result alive
        except Exception:
            logger.exception("a %s worker did not end well", self.name)
        finally:
            with self._changed:
                self._leaving.discard(me)
                self._changed.notify_all()

    def _next(self, me: threading.Thread) -> Job[Environment] | None:
        with self._changed:
            while not self._waiting:
                timely = self._state is PoolState.OPEN and self._changed.wait(self.idle_s)
                if not timely and not self._waiting:
                    self._idle -= 1
                    self._threads.discard(me)
                    self._leaving.add(me)
                    return None
            self._idle -= 1
            job = self._waiting.popleft()
            job.state = JobState.RUNNING
            job.began_s = time.perf_counter()
            self._running.add(job)
        self._counts.add(waiting=-1, in_flight=1)
        self._counts.waited(job.began_s - job.asked_s)
        return job

    def _run(self, job: Job[Environment], environment: Environment) -> None:
        value, error = None, None
        try:
            value = job.work(environment, job)
        except BaseException as raised:
            error = raised
        self._counts.ran(time.perf_counter() - job.began_s)
        self._counts.add(in_flight=-1, failed=error is not None)
        with self._changed:
            self._running.discard(job)
            self._idle += 1  # before anybody hears of the result and brings the next job
            job.interrupt = None
            wanted = job.state is JobState.RUNNING
            if wanted:
                job.state, job.value, job.error = JobState.ENDED, value, error
            if self._state is PoolState.CLOSING:
                self._changed.notify_all()
        del value, error  # its traceback refers to this frame: no cycle
        if wanted:
            job.wake()

"""A worker process that belongs to one thread of a pool: the thread writes a call and reads the answer.

Measured on two cores, median of 300 small calls, Python 3.11 and 3.13: this 0.3 to 0.5 ms, ProcessPoolExecutor
0.43 to 0.57 ms, anyio.to_process 0.17 to 0.29 ms; all start in 0.2 to 0.6 s. What decides is safety. In a
ProcessPoolExecutor one dead worker fails every call in flight and breaks the pool, and a running call cannot be
stopped. anyio.to_process kills only the one, but its workers end only with the loop they were started from (an
ASGI middleware does not own that one), cannot be shared with side loops, and write their output and logs to nowhere.

A worker is a new interpreter, not a fork: that copies locks which nobody will release. It is no child in
the sense of multiprocessing, which refuses one to daemon processes, as the workers of hypercorn are.
"""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
import time
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from loophound.offloading.errors import OffloadError, OffloadPicklingError
from loophound.offloading.metrics import Counts
from loophound.offloading.worker import Answer, Kind, Setup

LEAVE_S = 1.0  # what a worker gets to leave by itself, once we hung up
ROOT = str(Path(__file__).parents[2])
PROGRAM = "import sys; sys.path.append(sys.argv[2]); from loophound.offloading.worker import main; main()"


class WorkerTraceback(Exception):
    """The traceback in the worker, as text: the cause of the exception that is raised here."""

    def __str__(self) -> str:
        return "\n" + "".join(self.args)


class WorkerProcess:
    """Started with the first call, and again after it died. All but kill() is for one thread."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._discard(LEAVE_S)

    def call(self, name: str, data: bytes) -> Any:
        """Run the dumped call. Raises what it raised, with the worker's traceback as its cause; OffloadError
        when the worker died.
        """
        connection = self.start()
        try:
            connection.send_bytes(data)
            reply: Answer = connection.recv()
            body = connection.recv_bytes()
        except (EOFError, OSError):
            raise OffloadError(f"{name}: {self._discard(LEAVE_S)} while it ran the call") from None
        return read(name, reply._replace(body=body), self._counts)

    def start(self) -> Connection:
        """The connection to a living worker. Raises OSError when no process can be started."""
        if self._process is not None and self._process.poll() is not None:
            self._discard(0.0)
        if self._connection is None:
            here, there = Pipe()
            try:
                arguments = [sys.executable, "-c", PROGRAM, str(there.fileno()), ROOT]
                self._process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, pass_fds=[there.fileno()])
                here.send(Setup.of_this_process())
            except BaseException:
                here.close()
                raise
            finally:
                there.close()  # so that the worker's death ends the pipe
            self._connection = here
        return self._connection

    def kill(self) -> None:
        """End the worker at once, from any thread; a call in it raises OffloadError."""
        process = self._process
        if process is not None:
            process.kill()

    def _discard(self, leave_s: float) -> str:
        """Hang up and reap the worker, with force if it does not leave; tells how it ended."""
        process, connection = self._process, self._connection
        self._process = self._connection = None
        if process is None or connection is None:
            return "the worker process was gone"
        connection.close()
        try:
            code = process.wait(leave_s)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        pid = process.pid
        if code < 0:
            return f"worker process {pid} was killed by {signal.Signals(-code).name}"
        return f"worker process {pid} ended with exit code {code}"


def read(name: str, answer: Answer, counts: Counts) -> Any:
    """The value that came back, or its exception raised with the worker's traceback as the cause."""
    began = time.perf_counter()
    try:
        value = pickle.loads(answer.body)
    except Exception as error:
        raise OffloadPicklingError(f"{name}: its result came back, but cannot be unpickled: {error}") from error
    counts.add(pickling_s=answer.pickling_s + time.perf_counter() - began, pickled_bytes=len(answer.body))
    if answer.kind is Kind.ERROR:
        raise value from WorkerTraceback(answer.traceback)
    return value

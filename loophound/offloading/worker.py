"""The worker's side of another process or interpreter: bytes in, an answer out."""

from __future__ import annotations

import os
import pickle
import runpy
import signal
import sys
import threading
import time
import traceback
from enum import Enum
from multiprocessing.connection import Connection
from queue import SimpleQueue
from types import ModuleType
from typing import Any, NamedTuple, NoReturn, Self

from loophound.offloading.call import load, name_of
from loophound.offloading.errors import OffloadError, OffloadPicklingError

# Where all cores are busy the loop comes first: with it a light route beside eight computing clients keeps its p99
# (docs/benchmarks.md, "A heavy route beside a light one").
NICENESS = 5


class Kind(Enum):
    VALUE = "value"
    ERROR = "error"


class Answer(NamedTuple):
    """What became of a call: its pickled value or exception, and what it cost here, in seconds."""

    kind: Kind
    body: bytes
    traceback: str
    pickling_s: float


def answer(data: bytes) -> Answer:
    """Run one call. Never raises: what the function raised is in the answer."""
    began = time.perf_counter()
    name = "the call"
    try:
        call = load(data)
        name = name_of(call.function)
        loaded = time.perf_counter()
        value = call()
        ended = time.perf_counter()
    except BaseException as error:  # sys.exit() in the function must not end the worker
        return Answer(Kind.ERROR, _dump_error(name, error), traceback.format_exc(), 0.0)
    try:
        body = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        text = f"{name}: its result ({type(value).__qualname__}) cannot be pickled: {error}"
        return Answer(Kind.ERROR, pickle.dumps(OffloadPicklingError(text)), traceback.format_exc(), 0.0)
    return Answer(Kind.VALUE, body, "", loaded - began + time.perf_counter() - ended)


def _dump_error(name: str, error: BaseException) -> bytes:
    """The exception itself where it can travel, else an OffloadError that quotes it."""
    if isinstance(error, Exception):
        try:
            body = pickle.dumps(error, pickle.HIGHEST_PROTOCOL)
            pickle.loads(body)  # an __init__ with other arguments than `args` fails only here
        except Exception:
            body = b""
        if body:
            return body
    return pickle.dumps(OffloadError(f"{name} raised {type(error).__qualname__}: {error}"))


class Setup(NamedTuple):
    """What a new interpreter needs to find the functions: the import path and the main module."""

    path: list[str]
    argv: list[str]
    main_module: str | None
    main_file: str | None

    @classmethod
    def of_this_process(cls) -> Self:
        main = sys.modules.get("__main__")
        spec = getattr(main, "__spec__", None)
        file = getattr(main, "__file__", None)
        return cls(sys.path, sys.argv, spec and spec.name, os.path.abspath(file) if file else None)

    def apply(self) -> None:
        """As multiprocessing does: the main module is run under another name, so that its guard holds."""
        sys.path[:] = self.path
        sys.argv[:] = self.argv
        if self.main_module is not None:
            if self.main_module.rpartition(".")[2] == "__main__":  # python -m package: a program, nothing to import
                return
            content = runpy.run_module(self.main_module, run_name="__mp_main__", alter_sys=True)
        elif self.main_file is not None and os.path.exists(self.main_file):
            content = runpy.run_path(self.main_file, run_name="__mp_main__")
        else:
            return
        main = ModuleType("__mp_main__")
        main.__dict__.update(content)
        sys.modules["__main__"] = sys.modules["__mp_main__"] = main


def main() -> None:
    """A worker process. The connection's descriptor is its first argument; it ends when the other side hangs up."""
    # Ctrl-C goes to the whole process group; the server decides how long its workers may finish.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICENESS)
    connection: Connection[Any, Any] = Connection(int(sys.argv[1]))
    setup: Setup = connection.recv()
    calls: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_listen, args=(connection, calls), daemon=True).start()
    setup.apply()
    while True:
        reply = answer(calls.get())
        try:
            connection.send(reply._replace(body=b""))
            connection.send_bytes(reply.body)
        except OSError:
            _leave()
        del reply


def _listen(connection: Connection[Any, Any], calls: SimpleQueue[bytes]) -> None:
    """Read ahead of the calls, so that a worker whose server died leaves even in the middle of one."""
    try:
        while True:
            calls.put(connection.recv_bytes())
    except (EOFError, OSError):
        _leave()


def _leave() -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # no thread that a function left behind may keep the process

"""The worker's side of another process or interpreter: bytes in, an answer out."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import time
import traceback
from enum import Enum
from multiprocessing.connection import Connection
from typing import NamedTuple

from loophound.offloading.call import load, name_of
from loophound.offloading.errors import OffloadError, OffloadPicklingError


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


def serve(connection: Connection) -> None:
    """The main function of a worker process: it ends when the other side hangs up."""
    # Ctrl-C goes to the whole process group; the server decides how long its workers may finish.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        while True:
            reply = answer(connection.recv_bytes())
            body = reply.body
            connection.send(reply._replace(body=b""))
            connection.send_bytes(body)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)  # a thread that a function left behind must not keep the process

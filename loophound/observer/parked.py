"""A helper thread that stands still in known functions, for calibrate.py to look at."""

from __future__ import annotations

import threading
import types
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from inspect import unwrap
from typing import Any

# Far above what starting a thread takes on a loaded machine; nobody waits that long unless
# threads do not start at all (as when green threads replace them).
START_TIMEOUT_S = 10.0


class HelperThreadError(Exception):
    """The helper thread did not start."""


@dataclass(eq=False)
class Parked:
    """The parked thread. `functions` are those on its stack, innermost first.

    Each kind of call is on the stack once: from C code, of a coroutine by C code, and of one
    Python function by another. The first local variable of each function is this object.
    """

    state: int = 0
    native_id: int = 0
    functions: list[Callable[[Parked], Any]] = field(default_factory=list)
    codes: list[types.CodeType] = field(default_factory=list)
    coroutine: Coroutine[Any, Any, None] | None = None
    waiting: Coroutine[Any, Any, None] | None = None  # of the same function, does not run
    arrived: threading.Lock = field(default_factory=threading.Lock)
    release: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def parked(thread_state: Callable[[], int]) -> Iterator[Parked]:
    """A parked thread, gone again afterwards. Raises HelperThreadError when it does not start."""

    # While calls are flagged, a function lies around the method, and its frame around the call in C.
    acquire = unwrap(type(threading.Lock()).acquire)

    def in_c_call(here: Parked) -> None:
        here.arrived.release()
        acquire(here.release)

    async def in_coroutine(here: Parked) -> None:
        in_c_call(here)

    def called_by_c(here: Parked) -> None:
        coroutine = here.coroutine = in_coroutine(here)
        waiting = here.waiting = in_coroutine(here)
        try:
            coroutine.send(None)
        except StopIteration:
            waiting.close()

    def at_the_root(here: Parked) -> None:
        here.state = thread_state()
        here.native_id = threading.get_native_id()
        list(map(called_by_c, [here]))

    functions = [in_c_call, in_coroutine, called_by_c, at_the_root]
    here = Parked(functions=[*functions], codes=[function.__code__ for function in functions])
    here.arrived.acquire()
    here.release.acquire()

    def run() -> None:
        # Called as it stands here, at_the_root runs in its caller's C frame on every version.
        at_the_root(here)

    thread = threading.Thread(target=run, name="loophound-calibration", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise HelperThreadError(str(error)) from None
    try:
        if not here.arrived.acquire(timeout=START_TIMEOUT_S):
            raise HelperThreadError("the helper thread did not start")
        yield here
    finally:
        here.release.release()
        thread.join()

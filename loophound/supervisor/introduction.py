"""How a worker's stack is read before it has attached itself to the observer: while it starts, and a moment after.

The worker's first message has two addresses and a descriptor of its memory. The supervisor runs the same
interpreter, so that it knows the layout of the worker's structures from its own: all static
addresses differ by one distance, that at which the kernel has loaded the program. With that it puts the
worker under watch in its place, once there is something to look at.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
import types
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from loophound.supervisor.control import Control

if TYPE_CHECKING:
    from loophound.observer.attach import Attachment

KIND = "here"
WORDS = ("type", "method", "path")  # keys of each request's scope
MEMORY_PATH = "/proc/self/mem"
THRESHOLD_NS = 1_000_000_000
INTERVAL_NS = 100_000_000
# The observer is to take the watched process's own watchdog, of which there is none, for awake: it speaks in its place
# else, and takes the time since its last tick for time in which the GIL was held.
AWAKE_NS = 3_600_000_000_000
SAMPLING_S = 0.4  # for some samples, of which one may be torn


@dataclass(frozen=True, slots=True)
class Introduction:
    """What a worker has said of itself; `memory` is a descriptor, and its owner's to close."""

    thread_state: int
    code_type: int  # where it has types.CodeType
    words: Sequence[int]  # where it has WORDS
    memory: int

    @classmethod
    def from_message(cls, text: str, memory: int) -> Introduction:
        said = json.loads(text)
        return cls(said["thread_state"], said["code_type"], said["words"], memory)

    def close(self) -> None:
        os.close(self.memory)


def introduce(control: Control) -> None:
    """Said by a worker's main thread, first of all; nothing where a stack could not be read from outside."""
    if sys.platform != "linux" or sys.implementation.name != "cpython":
        return
    try:
        memory = os.open(MEMORY_PATH, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return
    words = [id(sys.intern(word)) for word in WORDS]  # constants of the server, so that they stay where they are
    text = json.dumps({"thread_state": _thread_state(), "code_type": id(types.CodeType), "words": words})
    control.send(KIND, text, [memory])
    os.close(memory)


def _thread_state() -> int:
    import ctypes

    get: Any = ctypes.PYFUNCTYPE(ctypes.c_void_p)(("PyThreadState_Get", ctypes.pythonapi))
    return int(get())


@contextmanager
def watched(observer: os.PathLike[str], who: Introduction, pid: int, worker: int, since_s: float) -> Iterator[None]:
    """Have the observer look at the main thread of a worker meanwhile, which does one thing since `since_s`.

    Raises OSError, or CalibrationError where stacks cannot be read from outside.
    """
    from loophound.observer.attach import attach
    from loophound.observer.page import ON_OTHER, Page

    with ExitStack() as at_end:
        page = Page.create()
        at_end.callback(os.close, page.descriptor)
        at_end.callback(page.close)
        page.ticked_ns = time.monotonic_ns() + AWAKE_NS
        slot = page.occupy(who.thread_state, pid, ON_OTHER)
        assert slot is not None
        slot.base, slot.beat_ns = 1, int(since_s * 1e9)
        end = at_end.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        end.setblocking(False)
        end.connect(os.fspath(observer))
        attach(end, _attachment(who, pid, worker), page.descriptor, who.memory)
        time.sleep(SAMPLING_S)
        yield


def _attachment(who: Introduction, pid: int, worker: int) -> Attachment:
    from loophound.detector.adapters.kernel import runtime_span
    from loophound.observer.attach import Attachment
    from loophound.observer.calibrate import calibrate
    from loophound.observer.layout import ABSENT

    layout, (first, last) = calibrate(), runtime_span()
    distance = who.code_type - layout.code_type
    names = ("code_type", "str_type", "bytes_type", "dict_type", "cell_type")
    moved = {name: getattr(layout, name) + distance for name in names if getattr(layout, name) != ABSENT}
    layout = replace(layout, **moved, key_type=who.words[0], key_method=who.words[1], key_path=who.words[2])
    return Attachment(
        pid=pid,
        layout=layout.to_json(),
        threshold_ns=THRESHOLD_NS,
        interval_ns=INTERVAL_NS,
        runtime=(first + distance, last + distance) if last else (0, 0),
        worker=worker,
        by_proxy=True,
    )

"""How a call is planted, and what the planted calls use."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from types import CodeType, SimpleNamespace
from typing import Protocol


class Endpoint(Protocol):
    __code__: CodeType
    __name__: str

    def __call__(self) -> Awaitable[object]: ...


MOMENT_S = 0.02
here = SimpleNamespace()  # what the lifespan makes: a directory, files, servers
planted: dict[str, Endpoint] = {}
innocent: dict[str, Endpoint] = {}
calls: dict[str, str] = {}  # the name under which a planted call is to be flagged


def plant(call: str) -> Callable[[Endpoint], Endpoint]:
    def note(function: Endpoint) -> Endpoint:
        planted[function.__name__] = function
        calls[function.__name__] = call
        return function

    return note


def twin(function: Endpoint) -> Endpoint:
    innocent[function.__name__.removesuffix("_twin")] = function
    return function


def soon(call: Callable[..., object], *args: object) -> None:
    """In another thread, in a moment."""
    timer = threading.Timer(MOMENT_S, call, args)
    timer.daemon = True
    timer.start()

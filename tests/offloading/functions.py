"""What the tests have offloaded; workers import it, so that it holds nothing else."""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from loophound import offload

request_id: ContextVar[str] = ContextVar("request_id", default="none")
passing = threading.Event()


class Unlike(Exception):
    """Pickles, but does not unpickle: its __init__ wants more than `args`."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@offload
def in_thread(value: int, *, more: int = 0) -> tuple[int, int]:
    """Where it ran."""
    return value + more, threading.get_ident()


@offload(executor="process")
def in_process(value: int) -> tuple[int, int]:
    return value + 1, os.getpid()


@offload(executor="interpreter")
def in_interpreter(value: int) -> int:
    if value < 0:
        raise ValueError(f"negative: {value}")
    return value + 1


def unmarked(value: int) -> tuple[int, int]:
    return value, os.getpid()


def shouting(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


@shouting
@offload(executor="process")
def decorated_again(value: int) -> int:
    return value


@offload(executor="process")
def fail(text: str) -> None:
    raise ValueError(text)


@offload(executor="process")
def fail_unlike() -> None:
    raise Unlike(7, "lost")


@offload(executor="process")
def leave() -> None:
    sys.exit(3)


@offload(executor="process")
def take(database: object, name: str = "") -> None:
    raise AssertionError("never reached")


@offload(executor="process")
def give() -> object:
    return threading.Lock()


@offload(executor="process")
def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@offload(executor="process")
def touch_and_hang(path: str) -> None:
    with open(path, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(600)


@offload
def hold() -> str:
    assert passing.wait(30)
    return request_id.get()


@offload
def read_context() -> str:
    return request_id.get()


class Shop:
    def __init__(self, name: str) -> None:
        self.name = name

    @offload(executor="process")
    def greet(self, guest: str) -> tuple[str, int]:
        return f"{self.name}: {guest}", os.getpid()

    @staticmethod
    @offload(executor="process")
    def twice(value: int) -> int:
        return 2 * value

    @offload
    @staticmethod
    def thrice(value: int) -> int:
        return 3 * value

    @classmethod
    @offload(executor="process")
    def kind(cls) -> str:
        return cls.__name__

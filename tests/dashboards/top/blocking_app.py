"""An application that blocks its loop in the way that the path asks for, `?seconds=`."""

from __future__ import annotations

import ctypes
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs


def sleeps(seconds: float) -> None:
    time.sleep(seconds)


def waits_for_a_peer(seconds: float) -> None:
    here, there = socket.socketpair()
    with here, there:
        threading.Timer(seconds, there.sendall, [b"x"]).start()
        here.recv(1)


def waits_for_a_lock(seconds: float) -> None:
    threading.Event().wait(seconds)


def computes(seconds: float) -> None:
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        sum(range(1000))


def holds_the_gil(seconds: float) -> None:
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))  # PyDLL does not let go of the GIL


WAYS: dict[str, Callable[[float], None]] = {
    way.__name__: way for way in (sleeps, waits_for_a_peer, waits_for_a_lock, computes, holds_the_gil)
}


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    way = WAYS.get(scope["path"][1:])
    if way is not None:
        way(float(parse_qs(scope["query_string"].decode())["seconds"][0]))
    elif scope["path"] == "/log":
        print("a line of the application's own", flush=True)  # noqa: T201
    elif scope["path"] == "/flood":
        for _ in range(64):
            print("x" * 1023, flush=True)  # noqa: T201
    body = str(os.getpid()).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})

"""An application that blocks its loop in the way that the path asks for, `?seconds=`."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import math
import os
import re
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
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


def imports(seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        name = f"slow_{time.monotonic_ns()}"
        Path(folder, f"{name}.py").write_text(f"import time\ntime.sleep({seconds})\n")
        sys.path.insert(0, folder)
        try:
            __import__(name)
        finally:
            sys.path.remove(folder)


def collects(seconds: float) -> None:
    until_s = time.monotonic() + seconds
    kept: list[object] = [[] for _ in range(400_000)]
    while time.monotonic() < until_s:
        gc.collect()
    del kept


def lets_another_thread_compute(seconds: float) -> None:
    threading.Thread(target=computes_in_c, args=(seconds,)).start()


def computes_in_c(seconds: float) -> None:
    """It never hands over the GIL: some 0.3 s for 28 letters on a busy machine, and double for each two more."""
    EVIL.match("a" * (28 + 2 * round(math.log2(seconds / 0.3))))


EVIL = re.compile("(a|aa)+b")
OTHER_WAYS: dict[str, Callable[[float], None]] = {
    way.__name__: way for way in (imports, collects, lets_another_thread_compute)
}


async def floods(seconds: float) -> None:
    async def little() -> None:
        until_s = time.monotonic() + 0.001
        while time.monotonic() < until_s:
            pass

    await asyncio.gather(*(little() for _ in range(round(seconds * 1000))))


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    way = (WAYS | OTHER_WAYS).get(scope["path"][1:])
    seconds = float(parse_qs(scope["query_string"].decode()).get("seconds", ["0"])[0])
    if way is not None:
        way(seconds)
    elif scope["path"] == "/floods":
        await floods(seconds)
    elif scope["path"] == "/log":
        print("a line of the application's own", flush=True)  # noqa: T201
    elif scope["path"] == "/flood":
        for _ in range(64):
            print("x" * 1023, flush=True)  # noqa: T201
    body = str(os.getpid()).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})

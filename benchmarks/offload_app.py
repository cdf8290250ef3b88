"""The application of benchmarks/offload.py: 0.2 s of Python at /cpu/HOW, and a /ping that should not notice."""

from __future__ import annotations

import time
from typing import Any

from loophound import OffloadMiddleware, offload

BURN_S = 0.2
BODY = b"ok"
HEADERS = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(BODY))]


def burn() -> None:
    """So much CPU time of this thread, in pure Python."""
    end = time.thread_time() + BURN_S
    while time.thread_time() < end:
        sum(number * number for number in range(1000))


in_thread = offload(burn)
in_process = offload(burn, executor="process")


async def respond(scope: Any, receive: Any, send: Any) -> None:
    match scope["path"]:
        case "/cpu/unmarked" | "/cpu/side":
            burn()
        case "/cpu/thread":
            await in_thread()
        case "/cpu/process":
            await in_process()
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})


app = OffloadMiddleware(respond, rules=["/cpu/side"])

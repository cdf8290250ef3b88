"""The application of benchmarks/calls.py: each hello with the middleware and without, and the thread's CPU time."""

from __future__ import annotations

import time
from typing import Any

import hello

from loophound import BlockingCallMiddleware

APPS = {
    "/bare/plain": hello.bare,
    "/bare/flagged": BlockingCallMiddleware(hello.bare),
    "/fastapi/plain": hello.fastapi,
    "/fastapi/flagged": BlockingCallMiddleware(hello.fastapi),
}


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    path = scope["path"]
    if path == "/cpu":
        body = b"%.9f" % time.thread_time()
        length = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": body})
        return
    if path.startswith("/fastapi"):
        scope["path"], scope["raw_path"] = "/", b"/"
    await APPS[path](scope, receive, send)

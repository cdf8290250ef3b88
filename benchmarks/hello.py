"""The applications that the benchmarks load: the least that ASGI allows, and the same in FastAPI."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

BODY = b'{"hello":"world"}'
HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]

fastapi = FastAPI()


@fastapi.get("/")
async def hello() -> dict[str, str]:
    return {"hello": "world"}


async def bare(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})

"""The applications behind `peers.py`: plain ASGI by path, and the same answer from two frameworks."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

TEXT = [(b"content-type", b"text/plain"), (b"content-length", b"13")]
JSON_BODY = b'{"items":[' + b",".join(b'{"id":%d,"name":"thing"}' % n for n in range(10, 50)) + b"]}"
JSON = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(JSON_BODY))]
LARGE_BODY = b"x" * 65_536
LARGE = [(b"content-type", b"application/octet-stream"), (b"content-length", b"65536")]
STREAM = [(b"content-type", b"text/plain")]
CHUNKS = 100
CHUNK = b"y" * 64


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    if scope["type"] == "websocket":
        await echo(receive, send)
        return
    path = scope["path"]
    if path == "/":
        await respond(send, TEXT, b"Hello, world!")
    elif path == "/json":
        await respond(send, JSON, JSON_BODY)
    elif path == "/large":
        await respond(send, LARGE, LARGE_BODY)
    elif path == "/echo":
        body = await whole_body(receive)
        await respond(send, [(b"content-length", b"%d" % len(body))], body)
    elif path == "/stream":
        await send({"type": "http.response.start", "status": 200, "headers": STREAM})
        for _ in range(CHUNKS):
            await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def respond(send: Any, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def whole_body(receive: Any) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def echo(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


async def lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def home(request: Request) -> PlainTextResponse:
    return PlainTextResponse("Hello, world!")


starlette = Starlette(routes=[Route("/", home)])
fastapi = FastAPI()


@fastapi.get("/")
async def hello() -> dict[str, str]:
    return {"hello": "world"}

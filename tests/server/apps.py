"""Small ASGI applications for the tests."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

TEXT = [(b"content-type", b"text/plain")]


async def respond(send: Any, body: bytes = b"ok", status: int = 200, headers: Any = None) -> None:
    await send({"type": "http.response.start", "status": status, "headers": TEXT if headers is None else headers})
    await send({"type": "http.response.body", "body": body})


async def whole_body(receive: Any) -> bytes:
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError("disconnected")
        body += message["body"]
        if not message["more_body"]:
            return body


async def hello(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    await respond(send, b"hello")


async def echo(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    await respond(send, await whole_body(receive))


async def path(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the path, after waiting where the path says so: answers must not overtake each other."""
    assert scope["type"] == "http"
    if scope["path"].startswith("/slow"):
        await asyncio.sleep(0.02)
    await respond(send, scope["path"].encode())


async def show_scope(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    await respond(send, json.dumps(scope, default=lambda value: value.decode("latin-1")).encode())


def sending(*messages: dict[str, Any]) -> Any:
    """An application that sends these messages, whatever is asked."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        for message in messages:
            await send(message)

    return app


def answer(status: int = 200, headers: Any = (), *bodies: Any) -> Any:
    """An application that sends one response in these pieces."""
    last = len(bodies) - 1
    return sending(
        {"type": "http.response.start", "status": status, "headers": headers},
        *({"type": "http.response.body", "body": body, "more_body": index < last} for index, body in enumerate(bodies)),
    )


class Witness:
    """Notes what an application saw, and lets a test hold it back."""

    def __init__(self) -> None:
        self.saw: list[Any] = []
        self.at_work = threading.Event()
        self.go = threading.Event()

    async def until_go(self) -> None:
        self.at_work.set()
        while not self.go.is_set():
            await asyncio.sleep(0.002)

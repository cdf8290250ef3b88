"""A server's side of one request, for tests: what is received, and what was sent."""

from __future__ import annotations

import asyncio
from typing import Any


class Exchange:
    """Feed receive() with `arrives`; what the application sends is in `sent`."""

    def __init__(self, path: str = "/", kind: str = "http") -> None:
        self.scope: dict[str, Any] = {
            "type": kind, "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
            "headers": [], "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http",
        }  # fmt: skip
        if kind == "http":
            self.scope["method"] = "GET"
        self.arrives: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: list[dict[str, Any]] = []

    async def run(self, app: Any) -> Exchange:
        await app(self.scope, self.arrives.get, self.send)
        return self

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])


async def respond(send: Any, body: bytes, more: bool = False) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body, "more_body": more})

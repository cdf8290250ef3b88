"""Small applications and a way to ask them, without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from loophound import BlockingCall, BlockingCallMiddleware

Handler = Callable[[], Awaitable[object]]


def application(handler: Handler) -> Callable[[Any, Any, Any], Awaitable[None]]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await handler()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    return app


async def ask(app: Any, path: str = "/") -> list[Any]:
    """The messages that the application sends for one request."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "http", "method": "GET", "path": path, "headers": [], "client": ("1.2.3.4", 5)}, receive, send)
    return sent


def flagged(handler: Handler, requests: int = 1, **options: Any) -> list[BlockingCall]:
    """What is flagged when a request runs this."""
    seen: list[BlockingCall] = []

    async def main() -> None:
        app = BlockingCallMiddleware(
            application(handler), **({"action": "callback", "callback": seen.append, "minimum_ms": 0} | options)
        )
        try:
            for _ in range(requests):
                await ask(app)
        finally:
            await app.aclose()

    asyncio.run(main())
    return seen

"""`/metrics`, `/healthz` and `/readyz` as an ASGI application. It is fed by the observer, so it answers
while the loop that it tells of does not.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from loophound.dashboards.metrics.figures import Figures
from loophound.dashboards.metrics.health import Answer, Health

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

JSON = "application/json"


class MetricsApp:
    """Call `feed()` with each message of the feed, from any one thread."""

    def __init__(self, health_limit_s: float) -> None:
        self._figures = Figures()
        self._health = Health(health_limit_s)
        self._registry = CollectorRegistry()
        self._registry.register(self._figures)

    def feed(self, message: dict[str, Any]) -> None:
        self._figures.feed(message)
        self._health.feed(message, time.monotonic())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["method"] not in ("GET", "HEAD"):
            await respond(send, 405, "text/plain", b"Only GET and HEAD.\n")
            return
        match scope["path"]:
            case "/metrics":
                accept = b",".join(value for name, value in scope["headers"] if name == b"accept")
                encode, kind = choose_encoder(accept.decode("latin-1"))
                await respond(send, 200, kind, encode(self._registry))
            case "/healthz":
                await tell(send, self._health.alive(time.monotonic()))
            case "/readyz":
                await tell(send, self._health.ready(time.monotonic()))
            case _:
                await respond(send, 404, "text/plain", b"There are /metrics, /healthz and /readyz.\n")


async def tell(send: Send, answer: Answer) -> None:
    await respond(send, 200 if answer.well else 503, JSON, json.dumps(answer.to_dict()).encode() + b"\n")


async def respond(send: Send, status: int, kind: str, body: bytes) -> None:
    headers = [
        (b"content-type", kind.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

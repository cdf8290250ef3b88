"""`--limit-concurrency` and `--limit-max-requests`: around the application, and only where they are asked for.

So a server without them pays nothing for them in the path of a request.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from loophound.server.asgi import Application, Message, Receive, Scope, Send
from loophound.server.site import Site

logger = logging.getLogger("loophound.server")

BUSY = b"Service Unavailable: the server is busy\n"
# Closed, so that the client's next attempt may reach another server; Retry-After is in seconds (RFC 9110,
# section 10.2.3).
BUSY_HEADERS = [
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"content-length", b"%d" % len(BUSY)),
    (b"retry-after", b"1"),
    (b"connection", b"close"),
]


def at_most_at_once(site: Site, app: Application, most: int) -> Application:
    """`app`, and 503 in its place while `most` requests run, or more than `most` connections are open."""
    running = 0
    refused = False

    async def limited(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal running, refused
        if running >= most or len(site.connections) > most:
            if not refused:  # said once until it is better: an overload is no time for many lines
                logger.warning("More than %d requests or connections at once: answered 503", most)
            refused = True
            await _refuse(scope, receive, send)
            return
        refused = False
        running += 1
        try:
            await app(scope, receive, send)
        finally:
            running -= 1

    return limited


def at_most_in_all(app: Application, most: int, enough: Callable[[str], object]) -> Application:
    """`app`, and `enough` called when its request number `most` begins; that one is still answered."""
    count = 0

    async def counted(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal count
        count += 1
        if count == most:
            enough(f"{most} requests, as --limit-max-requests says")
        await app(scope, receive, send)

    return counted


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    kind = "http.response"
    if scope["type"] == "websocket":
        await receive()
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close"})
            return
        kind = "websocket.http.response"
    start: Message = {"type": f"{kind}.start", "status": 503, "headers": BUSY_HEADERS}
    await send(start)
    await send({"type": f"{kind}.body", "body": BUSY})

"""The page as an ASGI application: four routes, no framework, nothing loaded from elsewhere.

By itself it runs on loopback and asks for a token; mounted in an application it leaves that to
the application's own authentication:

    app.mount("/loophound", WebDashboard())
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from functools import cache
from hmac import compare_digest
from importlib import resources
from typing import Any
from urllib.parse import parse_qs

from loophound.dashboards.web.events import Events

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "LICENSE": "text/plain; charset=utf-8",
}
# CSP level 3: the page loads its own files and speaks to its own address, and nobody frames it.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),  # the address has the token in it
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")


class WebDashboard:
    """An ASGI application.

    `feed` is the path of the socket to show; None takes the one of this process. With `token`, the page
    and its events want `?token=` with that value, and the Host must be a loopback name, so that no
    other site can reach it through a name of its own (DNS rebinding). Without, whoever reaches the
    application sees it: source lines, paths, and the names of requests and tasks.
    """

    def __init__(self, feed: str | os.PathLike[str] | None = None, *, token: str | None = None) -> None:
        self._token = token
        self._events = Events(feed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000, "reason": ""})
            return
        if scope["method"] not in ("GET", "HEAD"):
            await _answer(send, 405, "text/plain", b"This page is only read.\n", [(b"allow", b"GET, HEAD")])
        elif self._token is not None and not _on_loopback(scope["headers"]):
            await _answer(send, 403, "text/plain", b"This page answers to loopback names only.\n")
        else:
            await self._route(_path_of(scope), scope, receive, send)

    async def _route(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        if path.startswith("/static/"):  # nothing secret: it comes with the package
            await _file(send, path.removeprefix("/static/"))
        elif path not in ("", "/", "/events"):
            await _answer(send, 404, "text/plain", b"There is nothing here.\n")
        elif not self._admits(scope["query_string"]):
            await _answer(
                send, 403, "text/plain", b"The token is missing or wrong: open the address that was printed.\n"
            )
        elif path == "/events":
            await self._events(receive, send, SECURITY)
        elif path == "":  # mounted, without the slash that the page's own addresses start from
            target = scope.get("root_path", "").rsplit("/", 1)[-1] + "/"
            await _answer(send, 307, "text/plain", b"", [(b"location", target.encode())])
        else:
            await _file(send, "index.html")

    def _admits(self, query: bytes) -> bool:
        if self._token is None:
            return True
        given = parse_qs(query.decode("latin-1")).get("token", [""])[0]
        return compare_digest(given.encode(), self._token.encode())


def _path_of(scope: Scope) -> str:
    """The path below the mount point: `path` has the root in it (ASGI HTTP 2.4), or not (before)."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path[len(root) :] if root and (path + "/").startswith(root + "/") else path


def _on_loopback(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    host = next((value.decode("latin-1") for name, value in headers if name == b"host"), "")
    name = host[: host.index("]") + 1] if host.startswith("[") and "]" in host else host.partition(":")[0]
    return name.lower() in LOOPBACK_NAMES


@cache
def files() -> dict[str, bytes]:
    """The files of the page, by their path in it."""
    home = resources.files(__package__).joinpath("page")
    found = {entry.name: entry.read_bytes() for entry in home.iterdir() if entry.is_file()}
    vendor = home.joinpath("vendor").iterdir()
    return found | {f"vendor/{entry.name}": entry.read_bytes() for entry in vendor if entry.is_file()}


async def _file(send: Send, name: str) -> None:
    # On a thread: mounted, this is the loop of the application, which we of all are not to block.
    body = (await asyncio.to_thread(files)).get(name)
    if body is None:
        await _answer(send, 404, "text/plain", b"There is nothing here.\n")
    else:
        await _answer(send, 200, TYPES[name.rpartition(".")[2]], body)


async def _answer(send: Send, status: int, kind: str, body: bytes, extra: Iterable[tuple[bytes, bytes]] = ()) -> None:
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode()), *SECURITY, *extra]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return

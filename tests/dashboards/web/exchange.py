"""One request to an ASGI application, without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any


class Exchange:
    """Calls `app`; what it sends is in `status`, `headers` and `body`."""

    def __init__(
        self,
        app: Any,
        path: str = "/",
        query: str = "",
        *,
        method: str = "GET",
        host: str = "127.0.0.1:8080",
        root: str = "",
    ) -> None:
        self._app = app
        self.scope = {
            "type": "http", "method": method, "path": root + path, "root_path": root, "query_string": query.encode(),
            "headers": [(b"host", host.encode())],
        }  # fmt: skip
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.complete = asyncio.Event()
        self.gone = asyncio.Event()
        self.more = asyncio.Event()

    async def run(self) -> Exchange:
        await self._app(self.scope, self._receive, self._send)
        return self

    async def until(self, *texts: str) -> None:
        """Wait until the body has all of these."""
        while not all(text.encode() in self.body for text in texts):
            self.more.clear()
            await asyncio.wait_for(self.more.wait(), 20)

    async def _receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers: Sequence[tuple[bytes, bytes]] = message["headers"]
            self.headers = {name.decode(): value.decode() for name, value in headers}
        else:
            self.body += message["body"]
        self.more.set()


def ask(app: Any, path: str = "/", query: str = "", **details: Any) -> Exchange:
    return asyncio.run(Exchange(app, path, query, **details).run())

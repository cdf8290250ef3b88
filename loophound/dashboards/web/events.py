"""The feed as server-sent events (WHATWG HTML, section 9.2): each reader has a connection of its own to it.

So nothing is kept here: the feed itself gives a late reader what it missed, and lets go of lines for a
slow one, with a count. While there is no feed, the connection to the browser stays and the feed is looked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from loophound.dashboards.web.place import feed_path
from loophound.source import SourceLines

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MOST_READERS = 32
LONGEST_LINE = 8 << 20
RETRY_S = 1.0
CONTEXT_LINES = 4
BUSY = b"Too many readers: close a page that shows this dashboard.\n"


class Events:
    """Answers each request with the feed, from its state now until the reader goes."""

    def __init__(self, feed: str | os.PathLike[str] | None) -> None:
        self._feed = feed
        self._readers = 0
        self._sources = SourceLines()

    async def __call__(self, receive: Receive, send: Send, headers: list[tuple[bytes, bytes]]) -> None:
        if self._readers >= MOST_READERS:
            plain = (b"content-type", b"text/plain")
            await send({"type": "http.response.start", "status": 503, "headers": [plain, *headers]})
            await send({"type": "http.response.body", "body": BUSY})
            return
        kind = [(b"content-type", b"text/event-stream"), (b"x-accel-buffering", b"no")]
        await send({"type": "http.response.start", "status": 200, "headers": [*kind, *headers]})
        self._readers += 1
        telling = asyncio.ensure_future(self._tell(send))
        leaving = asyncio.ensure_future(_until_gone(receive))
        try:
            await asyncio.wait({telling, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._readers -= 1
            for task in (telling, leaving):
                task.cancel()
            await asyncio.gather(telling, leaving, return_exceptions=True)
        with contextlib.suppress(OSError):
            await send({"type": "http.response.body", "body": b""})

    async def _tell(self, send: Send) -> None:
        await send(_event(b"retry: 1000\n"))
        while True:
            try:
                why = await self._follow(send)
            except (OSError, ValueError) as problem:  # no such socket, or a line without end
                why = getattr(problem, "strerror", None) or str(problem)
            await send(_event(_data(json.dumps({"type": "feed-gone", "why": why}).encode())))
            await asyncio.sleep(RETRY_S)

    async def _follow(self, send: Send) -> str:
        path = await asyncio.to_thread(feed_path, self._feed)
        if path is None:
            return "no feed was found"
        reader, writer = await asyncio.open_unix_connection(path, limit=LONGEST_LINE)
        try:
            async for line in reader:
                await send(_event(_data(await self._with_source(line))))
        finally:
            writer.close()
        return "its feed has ended"

    async def _with_source(self, line: bytes) -> bytes:
        """Put the lines around the culprit beside a record: the browser cannot read the file, and may ask for none."""
        if b'"stall"' not in line and b'"call"' not in line:
            return line
        message = json.loads(line)
        record = message.get(message.get("type"))
        at = isinstance(record, dict) and (record.get("culprit") or record.get("caller") or record.get("blocking"))
        if not at:
            return line
        lines = await asyncio.to_thread(self._lines, at["file"], at["line"])
        message["source"] = {"file": at["file"], "line": at["line"], "lines": lines}
        return json.dumps(message).encode()

    def _lines(self, file: str, line: int) -> list[tuple[int, str]]:
        return self._sources.lines(file, line - CONTEXT_LINES, line + CONTEXT_LINES)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _data(line: bytes) -> bytes:
    return b"data: " + line.strip() + b"\n"


def _event(fields: bytes) -> MutableMapping[str, Any]:
    return {"type": "http.response.body", "body": fields + b"\n", "more_body": True}

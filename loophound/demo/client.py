"""The least HTTP/1.1 client that can load the demo: one connection, no chunked answers (RFC 9112)."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from loophound.demo.plan import Endpoint
from loophound.errors import LoophoundError


class Client:
    """A connection that is kept open between requests; not for concurrent use."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._writer.close()

    async def request(self, endpoint: Endpoint) -> bytes:
        """Send a request without a body; gives the body of the answer.

        Raises LoophoundError when the answer is not a 200, OSError or EOFError when the connection fails.
        """
        host = f"Host: {self._host}:{self._port}"
        head = f"{endpoint.method} {endpoint.path} HTTP/1.1\r\n{host}\r\nContent-Length: 0\r\n\r\n"
        self._writer.write(head.encode("ascii"))
        status, length = parse_head(await self._reader.readuntil(b"\r\n\r\n"))
        body = await self._reader.readexactly(length)
        if status != 200:
            raise LoophoundError(f"{endpoint} answered {status}: {body[:200].decode('utf-8', 'replace')}")
        return body


def parse_head(head: bytes) -> tuple[int, int]:
    """The status code and the Content-Length of a response's head; ValueError for any other framing."""
    status_line, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if "content-length" not in fields:
        raise ValueError(f"an answer without Content-Length: {status_line}")
    return int(status_line.split()[1]), int(fields["content-length"])

"""The ASGI 3 server for HTTP/1.1, on uvloop or asyncio, with httptools."""

from __future__ import annotations

from loophound.server.server import Server

__all__ = ["Server"]

"""The ASGI 3 server for HTTP/1.1, on uvloop or asyncio, with httptools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loophound.server.server import Server

__all__ = ["Server"]


def __getattr__(name: str) -> Any:
    # The detector takes the hooks' types from here: the pytest plugin and `exec` would load the whole server with them.
    if name == "Server":
        from loophound.server.server import Server

        return Server
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

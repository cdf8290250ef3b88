"""The ASGI 3 types that the server handles (ASGI specification, "Applications")."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Header: TypeAlias = tuple[bytes, bytes]

ASGI_VERSION = "3.0"
# 2.3, as uvicorn says: from 2.4 on send() raises OSError once the client has gone, and frameworks stop
# listening for http.disconnect, so that a stream which waits would notice neither the client's end nor ours.
HTTP_SPEC_VERSION = "2.3"
LIFESPAN_SPEC_VERSION = "2.0"


class MessageError(RuntimeError):
    """The application broke the order, the type or the content of ASGI messages."""


class ClientGone(OSError):
    """The application sent to a connection that is closed (ASGI, "Send"; WebSocket 2.4 on)."""

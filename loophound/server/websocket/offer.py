"""What a server must know of WebSocket before the first client asks for one.

The rest takes a sixth of the time in which a server starts (the websockets library looks up its own version, for
one), so it is loaded beside the loop once the server runs.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WebSocketOptions:
    """How the sessions of one server behave; `None` turns a time-out off."""

    max_size: int = 16_777_216  # bytes of a message
    max_queue: int = 32  # messages
    ping_interval_s: float | None = 20.0
    ping_timeout_s: float | None = 20.0
    deflate: bool = True


def asked_for(marks: Mapping[bytes, bytes], method: str, http_version: str) -> bool:
    """Whether a request with Connection: upgrade asks for a WebSocket (RFC 6455, section 4.2.1)."""
    offers = marks[b"upgrade"].lower().split(b",")
    return b"websocket" in (offer.strip() for offer in offers) and method == "GET" and http_version == "1.1"


def load_soon() -> None:
    """Load the rest in a thread; a client that asks meanwhile waits for it."""
    threading.Thread(target=_load, name="loophound-websocket", daemon=True).start()


def _load() -> None:
    import loophound.server.websocket.connection  # noqa: F401

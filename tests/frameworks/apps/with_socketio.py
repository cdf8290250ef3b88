"""A chat with python-socketio."""

from __future__ import annotations

from typing import Any

import socketio

# By polling, a client's farewell waits for the next ping.
server = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins="*", ping_interval=1, ping_timeout=2)
app = socketio.ASGIApp(server)


@server.event
async def connect(sid: str, environ: dict[str, Any], auth: Any) -> None:
    if auth == "stranger":
        raise socketio.exceptions.ConnectionRefusedError("who are you")
    await server.enter_room(sid, "all")


@server.event
async def say(sid: str, text: str) -> str:
    await server.emit("said", {"text": text}, room="all")
    return text.upper()

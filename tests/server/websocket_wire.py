"""A raw WebSocket client that sees every frame."""

from __future__ import annotations

import os
from typing import Any

from tests.server.wire import HOST, Client, Response, Running

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455, section 1.3, with the accept below
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
VERSION = b"Sec-WebSocket-Version: 13"
UPGRADE = b"Upgrade: websocket"
CONNECTION = b"Connection: Upgrade"


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, masked: bool = True) -> bytes:
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    mask_bit = 0x80 if masked else 0
    size = len(payload)
    if size < 126:
        head = bytes((first, mask_bit | size))
    elif size < 65_536:
        head = bytes((first, mask_bit | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, mask_bit | 127)) + size.to_bytes(8, "big")
    if not masked:
        return head + payload
    mask = os.urandom(4)
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


def close_frame(code: int | None = None, reason: bytes = b"") -> bytes:
    return frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason)


def request(*headers: bytes, target: bytes = b"/", without: tuple[bytes, ...] = (), method: bytes = b"GET") -> bytes:
    usual = [line for line in (UPGRADE, CONNECTION, KEY, VERSION) if line not in without]
    lines = b"".join(line + b"\r\n" for line in (*usual, *headers))
    return method + b" " + target + b" HTTP/1.1\r\n" + HOST + lines + b"\r\n"


class WebSocket:
    """A connection after its handshake."""

    def __init__(self, client: Client, response: Response) -> None:
        self.client = client
        self.response = response

    def send(self, *frames: bytes) -> WebSocket:
        self.client.send(*frames)
        return self

    def frame(self) -> tuple[int, bytes]:
        """The first byte and the payload of the next frame."""
        first, second = self.client.read_bytes(2)
        assert second < 128, "a server's frame is masked (RFC 6455, section 5.1)"
        size = second
        if second == 126:
            size = int.from_bytes(self.client.read_bytes(2), "big")
        elif second == 127:
            size = int.from_bytes(self.client.read_bytes(8), "big")
        return first, self.client.read_bytes(size)

    def text(self) -> str:
        first, payload = self.frame()
        assert first == 0x80 | TEXT, (first, payload)
        return payload.decode()

    def closed_with(self) -> int | None:
        """The code of the Close that comes next, None for one without; answers it and waits for the end."""
        first, payload = self.frame()
        assert first == 0x80 | CLOSE, (first, payload)
        code = int.from_bytes(payload[:2], "big") if payload else None
        assert self.send(close_frame(code)).client.closed()
        return code


def shake_hands(client: Client, *headers: bytes, target: bytes = b"/") -> WebSocket:
    response = client.send(request(*headers, target=target)).response()
    assert response.status == 101, response
    return WebSocket(client, response)


def open_websocket(server: Running, *headers: bytes, target: bytes = b"/") -> WebSocket:
    return shake_hands(server.connect(), *headers, target=target)


async def echo(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "websocket"
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


class Recorder:
    """Accepts, and notes every further message."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.session: Any = None  # the server's own object

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        self.session = receive.__self__
        await receive()
        await send({"type": "websocket.accept"})
        while True:
            message = await receive()
            self.messages.append(message)
            if message["type"] == "websocket.disconnect":
                return


def doing(*messages: dict[str, Any]) -> Any:
    """An application that sends these messages and returns."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        for message in messages:
            await send(message)

    return app

"""A load of WebSocket messages, in place of wrk(1), which knows no WebSocket; reports in wrk's words.

    python benchmarks/echo.py --connections 32 --bytes 64 --seconds 5 ws://127.0.0.1:8000/ws

Each connection sends one masked text message, waits for its echo, and sends it again. The client is
made for the server's sake: it builds its frame once and counts bytes in place of reading frames.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from typing import cast
from urllib.parse import urlsplit

import uvloop

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455, section 1.3
TEXT = 0x81  # FIN, opcode 1
MASKED = 0x80


class Client(asyncio.Protocol):
    """One connection; `echoes` counts what came back whole."""

    def __init__(self, host: str, path: str, size: int) -> None:
        self.echoes = 0
        self.ready = asyncio.get_running_loop().create_future()
        self._request = (
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY.decode()}\r\n\r\n"
        ).encode()
        self._frame = frame(size)
        self._echo_bytes = len(self._frame) - 4  # a server's frames have no mask
        self._opened = False
        self._seen = b""
        self._missing = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self._opened:
            self._seen += data
            if b"\r\n\r\n" not in self._seen:
                return
            if not self._seen.startswith(b"HTTP/1.1 101"):
                sys.exit(f"no WebSocket: {self._seen[:80]!r}")
            self._opened = True
            self.ready.set_result(None)
            self._send()
            return
        self._missing -= len(data)
        if self._missing <= 0:
            self.echoes += 1
            self._send()

    def _send(self) -> None:
        self._missing = self._echo_bytes
        self._transport.write(self._frame)


def frame(size: int) -> bytes:
    """A text message of so many bytes, masked (RFC 6455, section 5.2)."""
    mask = os.urandom(4)
    payload = bytes(byte ^ mask[n % 4] for n, byte in enumerate(b"m" * size))
    length = bytes([MASKED | size]) if size < 126 else bytes([MASKED | 126]) + size.to_bytes(2, "big")
    return bytes([TEXT]) + length + mask + payload


async def run(host: str, port: int, path: str, options: argparse.Namespace) -> tuple[int, float]:
    """How many echoes came, and in how many seconds."""
    loop = asyncio.get_running_loop()
    clients = [Client(f"{host}:{port}", path, options.size) for _ in range(options.connections)]
    for client in clients:
        await loop.create_connection(lambda client=client: client, host, port)
    await asyncio.gather(*(client.ready for client in clients))
    began = sum(client.echoes for client in clients)
    began_s = time.monotonic()
    await asyncio.sleep(options.seconds)
    return sum(client.echoes for client in clients) - began, time.monotonic() - began_s


def main() -> None:
    parser = argparse.ArgumentParser(description="Load a server with WebSocket messages.")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--bytes", type=int, default=64, dest="size", help="of a message, 65,535 at most")
    parser.add_argument("url")
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    url = urlsplit(options.url)
    count, seconds = uvloop.run(run(url.hostname or "", url.port or 80, url.path, options))
    sys.stdout.write(f"  {count} requests in {seconds:.2f}s\nRequests/sec: {count / seconds:.2f}\n")


if __name__ == "__main__":
    main()

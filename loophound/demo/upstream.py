"""The slow service that the demo application depends on: one thread, on a free loopback port."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from loophound.demo.sizes import TARGET_S


class SlowRates(BaseHTTPRequestHandler):
    """Answers every GET after a third of a second, asleep: it never holds the GIL for long."""

    def do_GET(self) -> None:
        time.sleep(TARGET_S)
        body = b'{"rate": 11.42}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the terminal belongs to the reports."""


@asynccontextmanager
async def slow_rates() -> AsyncIterator[str]:
    """Run the service; gives its URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), SlowRates) as server:
        thread = Thread(target=server.serve_forever, name="slow-rates", daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            await asyncio.to_thread(server.shutdown)  # waits for the thread's next look around

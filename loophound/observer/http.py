"""Pages of the observer, served by our own server on a thread and a loop of their own."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

from loophound.detector.stream import tell


def serve_beside(app: Any, descriptor: int, what: str) -> None:
    """Serve an ASGI application at a bound socket for as long as this process lives."""
    thread = threading.Thread(target=_run, args=(app, descriptor, what), name=f"loophound-{what}", daemon=True)
    thread.start()


def _run(app: Any, descriptor: int, what: str) -> None:
    try:
        asyncio.run(_serve(app, descriptor))
    except Exception as error:
        tell(f"{what} cannot be served: {type(error).__name__}: {error}")


async def _serve(app: Any, descriptor: int) -> None:
    from loophound.config import Config
    from loophound.server import Server

    config = Config(app, lifespan="off", access_log=False, log_level="error", proxy_headers=False)
    await Server(config).serve([socket.socket(fileno=descriptor)])

"""Loophound: an ASGI server that tells you who blocked its event loop."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loophound.allowing import allow_blocking
    from loophound.config import Config
    from loophound.detector.detector import Detector
    from loophound.detector.records import BlockingCall, Stall
    from loophound.errors import BlockingCallError, StallLimitExceeded
    from loophound.middleware.blocking_calls import BlockingCallMiddleware
    from loophound.middleware.offload import OffloadMiddleware
    from loophound.middleware.watch import WatchMiddleware
    from loophound.offloading.errors import (
        OffloadError,
        OffloadPicklingError,
        OffloadQueueFullError,
        OffloadTimeoutError,
    )
    from loophound.offloading.mark import offload
    from loophound.offloading.pools import register_executor
    from loophound.server import Server
    from loophound.serving import run
    from loophound.watching import watch

__version__ = "0.1.0"

__all__ = [
    "run",
    "Config",
    "Server",
    "Detector",
    "Stall",
    "BlockingCall",
    "allow_blocking",
    "watch",
    "offload",
    "register_executor",
    "OffloadMiddleware",
    "BlockingCallMiddleware",
    "BlockingCallError",
    "StallLimitExceeded",
    "WatchMiddleware",
    "OffloadError",
    "OffloadPicklingError",
    "OffloadQueueFullError",
    "OffloadTimeoutError",
    "__version__",
]

# Loaded when asked for: a server without detection has not a line of the detector in it.
_HOMES = {
    "run": "loophound.serving",
    "Config": "loophound.config",
    "Server": "loophound.server",
    "Detector": "loophound.detector.detector",
    "Stall": "loophound.detector.records",
    "BlockingCall": "loophound.detector.records",
    "allow_blocking": "loophound.allowing",
    "watch": "loophound.watching",
    "offload": "loophound.offloading.mark",
    "register_executor": "loophound.offloading.pools",
    "OffloadMiddleware": "loophound.middleware.offload",
    "BlockingCallMiddleware": "loophound.middleware.blocking_calls",
    "BlockingCallError": "loophound.errors",
    "StallLimitExceeded": "loophound.errors",
    "WatchMiddleware": "loophound.middleware.watch",
    "OffloadError": "loophound.offloading.errors",
    "OffloadPicklingError": "loophound.offloading.errors",
    "OffloadQueueFullError": "loophound.offloading.errors",
    "OffloadTimeoutError": "loophound.offloading.errors",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'loophound' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
